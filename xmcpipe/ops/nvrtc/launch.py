"""Loads and launches kernels: on torch's current stream, in torch's own context, on the tensors' device.

A kernel is compiled and loaded at its first launch on a device. CUDA forbids loading while a graph is
captured, so a step must run once before it is captured; the capture then records its launches.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ParamSpec

import torch

from xmcpipe.errors import XmcpipeError
from xmcpipe.ops.nvrtc import compiler
from xmcpipe.ops.nvrtc.arguments import Argument, ArgumentMemory, Signature
from xmcpipe.ops.nvrtc.driver import Driver
from xmcpipe.ops.nvrtc.source import parameters
from xmcpipe.ops.nvrtc.variant import Variant

Arguments = ParamSpec("Arguments")


@dataclass(frozen=True)
class Loaded:
    """A kernel that is ready on a device; `shared` limits the dynamic shared memory of a block, in bytes."""

    kernel: Any
    signature: Signature
    shared: int


def unavailable_reason(device: torch.device) -> str | None:
    """The reason why kernels can't run on this device, in one line; None if they can."""
    if device.type != "cuda":
        return f"{device} is no CUDA device"
    if torch.version.cuda is None:
        return "this torch isn't built for CUDA"
    if not torch.cuda.is_available():
        return "torch sees no GPU"
    return _unavailable_reason(_numbered(device).index)


def usable(device: torch.device) -> bool:
    """Whether kernels can run on this device; warns once with the reason if they can't."""
    reason = unavailable_reason(device)
    if reason is not None:
        _warn(reason)
    return reason is None


class Launch:
    """A kernel with its grid and arguments, to be started several times with some arguments changed.

    Checking all arguments takes most of the time of a launch, and a step starts the same kernels for each
    chunk of labels. It is for the stream that is current, and the thread that runs, when it is made.
    """

    def __init__(
        self,
        variant: Variant,
        device: torch.device,
        grid: Sequence[int],
        shared_bytes: int,
        /,
        **arguments: Argument,
    ) -> None:
        """`grid` has one to three sizes, in blocks of `variant.threads`; `shared_bytes` is the dynamic shared
        memory of a block. `arguments` are named as in the kernel's text; optional pointers may be left out.

        Raises ValueError, which names the kernel, for a grid, a size or an argument that the kernel or the
        device does not accept.
        """
        self._device = _numbered(device)
        loaded = load(variant, self._device)
        entry = variant.kernel.entry
        _check_grid(variant, grid)
        if shared_bytes > loaded.shared:
            raise ValueError(
                f"{entry}: expected at most {loaded.shared} bytes of dynamic shared memory, "
                f"got {shared_bytes}"
            )
        loaded.signature.require_all(arguments)
        self._arguments = arguments  # keeps the tensors
        self._memory = ArgumentMemory(loaded.signature)
        self._memory.write(arguments, self._device)
        x, y, z = (*grid, 1, 1)[:3]
        # torch's default stream, 0, is the legacy stream, 1.
        handle = torch.cuda.current_stream(self._device).cuda_stream or 1
        with torch.cuda.device(self._device):
            _driver().enter(self._device.index)
        stream = _driver().stream(handle)
        sizes = (x, y, z), variant.threads, shared_bytes
        self._call = (loaded.kernel, stream, *sizes, self._memory.addresses)

    def start(self, **changed: Argument) -> None:
        """Start it without waiting for it; `changed` arguments stay as they are now.

        Raises ValueError as the constructor does.
        """
        if changed:
            self._memory.write(changed, self._device)
            self._arguments |= changed
        # The device of the tensors may not be torch's current one, for instance with a model on cuda:1.
        if torch.cuda.current_device() == self._device.index:
            _driver().launch(*self._call)
        else:
            with torch.cuda.device(self._device):
                _driver().launch(*self._call)


def _check_grid(variant: Variant, grid: Sequence[int]) -> None:
    """Raise ValueError for a grid without a block, or with a part of a cluster."""
    entry, size = variant.kernel.entry, tuple(grid)
    if min(grid) < 1:
        raise ValueError(f"{entry}: expected at least one block, got the grid {size}")
    if grid[0] % variant.cluster:
        raise ValueError(f"{entry}: expected whole clusters of {variant.cluster} blocks, got the grid {size}")


def _started(make: Callable[Arguments, Launch]) -> Callable[Arguments, None]:
    """A function that starts what `make` makes of its arguments, once."""

    def start(*arguments: Arguments.args, **named: Arguments.kwargs) -> None:
        make(*arguments, **named).start()

    return start


launch = _started(Launch)  # launch(variant, device, grid, shared_bytes, **arguments), without waiting for it


def load(variant: Variant, device: torch.device) -> Loaded:
    """The kernel on a device, compiled and loaded at the first call.

    Raises RuntimeError if that first call happens while a CUDA graph is captured.
    """
    return _load(variant, _numbered(device).index)


def shared_limit(device: torch.device | int) -> int:
    """The bytes of shared memory, static and dynamic, that a block may use on a device."""
    properties = torch.cuda.get_device_properties(device)
    return int(properties.shared_memory_per_block_optin)  # type: ignore[attr-defined]


def blocks_per_multiprocessor(variant: Variant, device: torch.device, shared_bytes: int) -> int:
    """The number of blocks of a kernel that run on a multiprocessor at once; sizes a persistent grid."""
    return _blocks(variant, _numbered(device).index, shared_bytes)


def active_clusters(variant: Variant, device: torch.device, shared_bytes: int) -> int:
    """The number of clusters of a kernel's blocks that run on a device at once."""
    return _clusters(variant, _numbered(device).index, shared_bytes)


@cache
def _load(variant: Variant, index: int) -> Loaded:
    entry, declared = variant.kernel.entry, parameters(variant)
    if torch.cuda.is_current_stream_capturing():
        raise RuntimeError(f"{entry} isn't loaded on cuda:{index} yet: run the step once before capturing it")
    cubin = compiler.compile_kernel(
        variant, compiler.architecture_of(torch.cuda.get_device_capability(index))
    )
    # Static and dynamic shared memory have one limit together, and the static part is fixed.
    shared = shared_limit(index) - cubin.resources.shared
    with torch.cuda.device(index):
        kernel, widths = _driver().load(cubin.code, entry, index, shared)
    # Arguments are packed by the parameters in the text: if the cubin's differ, it would read wrong offsets.
    assert widths == [parameter.bytes for parameter in declared], (
        f"the cubin of {entry} has parameters of {widths} bytes, its text declares {declared}"
    )
    return Loaded(kernel, Signature(entry, declared), shared)


@cache
def _blocks(variant: Variant, index: int, shared_bytes: int) -> int:
    with torch.cuda.device(index):
        return _driver().occupancy(_load(variant, index).kernel, index, variant.threads, shared_bytes)


@cache
def _clusters(variant: Variant, index: int, shared_bytes: int) -> int:
    with torch.cuda.device(index):
        kernel = _load(variant, index).kernel
        return _driver().active_clusters(kernel, index, variant.cluster, variant.threads, shared_bytes)


@cache
def _driver() -> Driver:
    return Driver()


@cache
def _unavailable_reason(index: int) -> str | None:
    if reason := compiler.unavailable_reason():
        return f"{reason} ({compiler.INSTALL})"
    if (newest := _driver().newest_cuda()) < compiler.version()[0]:
        return f"the driver supports CUDA {newest}, NVRTC is CUDA {compiler.version()[0]} (update the driver)"
    try:
        compiler.architecture_of(torch.cuda.get_device_capability(index))
    except XmcpipeError as error:
        return str(error)
    return None


@cache
def _warn(reason: str) -> None:
    warnings.warn(f"CUDA kernels unavailable, using slower PyTorch code: {reason}", stacklevel=4)


def _numbered(device: torch.device) -> torch.device:
    """The device with its number: "cuda" is the current one."""
    return device if device.index is not None else torch.device("cuda", torch.cuda.current_device())
