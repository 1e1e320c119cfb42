"""Kernels loaded and launched: on torch's current stream, in torch's own context, on the tensors' device.

A kernel is compiled and loaded at its first launch on a device. Loading is forbidden while a CUDA graph is
captured, so a step runs once before it is captured; launching is then what a capture records.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from xmcpipe.errors import XmcpipeError
from xmcpipe.ops.nvrtc import compile as nvrtc
from xmcpipe.ops.nvrtc.arguments import Argument, Packer, pack, packer
from xmcpipe.ops.nvrtc.driver import Driver
from xmcpipe.ops.nvrtc.source import parameters
from xmcpipe.ops.nvrtc.variant import Variant


@dataclass(frozen=True)
class Loaded:
    """A kernel that is ready on a device; `shared` is the dynamic shared memory that a block may ask for."""

    kernel: Any
    packers: tuple[Packer, ...]
    shared: int


def available(device: torch.device) -> str | None:
    """Why kernels can't be used on this device, in a line; None where they can."""
    if device.type != "cuda":
        return f"{device} is no CUDA device"
    if torch.version.cuda is None:
        return "this torch isn't built for CUDA"
    if not torch.cuda.is_available():
        return "torch sees no GPU"
    return _unavailable(_numbered(device).index)


def usable(device: torch.device) -> bool:
    """Whether kernels can be used on this device; where they can't, a warning says so, once."""
    reason = available(device)
    if reason is not None:
        _warn(reason)
    return reason is None


def launch(
    variant: Variant,
    device: torch.device,
    grid: Sequence[int],
    block: int,
    shared_bytes: int,
    *arguments: Argument,
) -> None:
    """Start a kernel on the current stream of `device`; it runs on when this returns.

    `grid` has one to three sizes, `block` is the number of threads, `shared_bytes` the dynamic shared memory.
    `arguments` are as `arguments.packer` takes them. Raises ValueError for what the kernel's text or the
    device doesn't take.
    """
    entry, device = variant.kernel.entry, _numbered(device)
    loaded = load(variant, device)
    if block != variant.threads or min(grid) < 1:
        raise ValueError(f"{entry}: a grid of blocks of {variant.threads} is wanted, got {grid}, {block}")
    if shared_bytes > loaded.shared:
        raise ValueError(
            f"{entry}: at most {loaded.shared} bytes of shared memory are there, got {shared_bytes}"
        )
    try:
        values = pack(loaded.packers, arguments, device)
    except ValueError as error:
        raise ValueError(f"{entry}: {error}") from error
    with torch.cuda.device(device):
        stream = torch.cuda.current_stream(device).cuda_stream
        _driver().launch(loaded.kernel, device.index, stream, tuple(grid), block, shared_bytes, values)


def load(variant: Variant, device: torch.device) -> Loaded:
    """The kernel on a device, compiled and loaded at the first call, which a capture forbids."""
    return _load(variant, _numbered(device).index)


def shared_limit(device: torch.device | int) -> int:
    """The bytes of shared memory, static and dynamic, that a block may use on a device."""
    properties = torch.cuda.get_device_properties(device)
    return int(properties.shared_memory_per_block_optin)  # type: ignore[attr-defined]


def blocks_per_multiprocessor(variant: Variant, device: torch.device, shared_bytes: int) -> int:
    """How many blocks of a kernel run on a multiprocessor at once: what sizes a persistent grid."""
    return _blocks(variant, _numbered(device).index, shared_bytes)


@cache
def _load(variant: Variant, index: int) -> Loaded:
    entry, takes = variant.kernel.entry, parameters(variant)
    if torch.cuda.is_current_stream_capturing():
        raise RuntimeError(f"{entry} isn't loaded on cuda:{index} yet: run the step once before capturing it")
    cubin = nvrtc.compile_kernel(variant, nvrtc.architecture_of(torch.cuda.get_device_capability(index)))
    shared = shared_limit(index) - cubin.resources.shared
    with torch.cuda.device(index):
        kernel, widths = _driver().load(cubin.code, entry, index, shared)
    assert widths == [parameter.bytes for parameter in takes], (
        f"{entry} takes {widths}, its text says {takes}"
    )
    return Loaded(kernel, tuple(packer(parameter) for parameter in takes), shared)


@cache
def _blocks(variant: Variant, index: int, shared_bytes: int) -> int:
    with torch.cuda.device(index):
        return _driver().occupancy(_load(variant, index).kernel, index, variant.threads, shared_bytes)


@cache
def _driver() -> Driver:
    return Driver()


@cache
def _unavailable(index: int) -> str | None:
    if reason := nvrtc.missing():
        return f"{reason} ({nvrtc.INSTALL})"
    if (newest := _driver().newest_cuda()) < nvrtc.version()[0]:
        return f"the driver knows CUDA {newest}, NVRTC is of CUDA {nvrtc.version()[0]} (update the driver)"
    try:
        nvrtc.architecture_of(torch.cuda.get_device_capability(index))
    except XmcpipeError as error:
        return str(error)
    return None


@cache
def _warn(reason: str) -> None:
    warnings.warn(f"the CUDA kernels aren't used, but torch's slower ways: {reason}", stacklevel=4)


def _numbered(device: torch.device) -> torch.device:
    """The device with its number: "cuda" is the current one."""
    return device if device.index is not None else torch.device("cuda", torch.cuda.current_device())
