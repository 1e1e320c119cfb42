"""A GPU that is the host: what the package would launch runs as text compiled by g++, on tensors of the CPU.

So all of the way from an op to the kernel is tested without a GPU, but the driver itself: how the kernel is
cut and specialised, the order and width of its arguments, the grid, the sizes of workspaces.
"""

import contextlib
import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.kernels.host.kernel import HostKernel
from xmcpipe.ops.nvrtc import compiler as nvrtc
from xmcpipe.ops.nvrtc import launch
from xmcpipe.ops.nvrtc.architectures import ARCHITECTURES
from xmcpipe.ops.nvrtc.compiler import Cubin, Resources
from xmcpipe.ops.nvrtc.source import parameters
from xmcpipe.ops.nvrtc.variant import Variant

CPU = torch.device("cpu")
MEBIBYTE = 2**20


@dataclass
class HostGpu:
    """In place of `ops.driver.Driver`. `shared` is what a block may use, `launches` what was launched."""

    architecture: str = "sm_90"
    shared: int = ARCHITECTURES["sm_90"]
    multiprocessors: int = 3
    cache_bytes: int = MEBIBYTE
    order: int = 0
    launches: list[tuple[Variant, tuple[int, ...]]] = field(default_factory=list)
    _variants: dict[bytes, Variant] = field(default_factory=dict)

    def compile_kernel(self, variant: Variant, _: str) -> Cubin:
        """A cubin that only names the variant."""
        code = repr((variant.kernel.entry, variant.macros)).encode()
        self._variants[code] = variant
        return Cubin(code, Resources(32, 0, 0, 0, 0), cached=True, seconds=0.0)

    def load(self, cubin: bytes, entry: str, _: int, __: int) -> tuple[Variant, list[int]]:
        """The variant, and the widths of its parameters."""
        variant = self._variants[cubin]
        assert variant.kernel.entry == entry
        return variant, [parameter.bytes for parameter in parameters(variant)]

    def launch(
        self,
        kernel: Variant,
        _: int,
        __: int,
        grid: tuple[int, ...],
        block: int,
        shared: int,
        arguments: Sequence[Any],
    ) -> None:
        """Run all blocks, now."""
        self.launches.append((kernel, grid))
        run = HostKernel(kernel.kernel.source, kernel.kernel.entry, dict(kernel.macros))
        cells = [_cell(argument) for argument in arguments]
        pointers = (ctypes.c_void_p * len(cells))(*[ctypes.addressof(cell) for cell in cells])
        shape = (ctypes.c_int * 6)(*grid, *[1] * (3 - len(grid)), block, shared, self.order)
        assert run._function(shape, pointers) == len(cells)

    def occupancy(self, _: Variant, __: int, block: int, shared: int) -> int:
        """As many blocks as threads and shared memory let."""
        return max(1, min(2048 // block, self.shared // max(shared, 1)))


def install(monkeypatch: pytest.MonkeyPatch, gpu: HostGpu) -> None:
    """Make the host torch's only GPU, as far as launching looks at it."""
    properties = SimpleNamespace(
        shared_memory_per_block_optin=gpu.shared,
        multi_processor_count=gpu.multiprocessors,
        L2_cache_size=gpu.cache_bytes,
    )
    number = int(gpu.architecture.removeprefix("sm_"))
    for where, name, value in (
        (launch, "_driver", lambda: gpu),
        (launch, "_numbered", lambda _: CPU),
        (nvrtc, "compile_kernel", gpu.compile_kernel),
        (nvrtc, "architecture_of", lambda _: gpu.architecture),
        (torch.cuda, "device", lambda _: contextlib.nullcontext()),
        (torch.cuda, "current_stream", lambda _: SimpleNamespace(cuda_stream=0)),
        (torch.cuda, "is_current_stream_capturing", lambda: False),
        (torch.cuda, "get_device_capability", lambda _=None: divmod(number, 10)),
        (torch.cuda, "get_device_properties", lambda _=None: properties),
    ):
        monkeypatch.setattr(where, name, value)
    forget()


def forget() -> None:
    """Nothing is loaded."""
    launch._load.cache_clear()
    launch._blocks.cache_clear()


def _cell(argument: Any) -> Any:
    """A place that holds the argument: an address, or a number of its own width."""
    if isinstance(argument, int):
        return ctypes.c_void_p(argument or None)
    assert isinstance(argument, np.generic), f"of unknown width: {argument!r}"
    return (ctypes.c_char * argument.nbytes).from_buffer_copy(argument.tobytes())
