"""The host as a GPU: kernels that the package launches run as text compiled by g++, on tensors of the CPU.

So the whole way from an op to the kernel is tested without a GPU, except the driver itself: geometry and
specialisation, the order and width of arguments, grids, sizes of workspaces.
"""

import contextlib
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import torch

from tests.kernels.host.kernel import HostKernel
from xmcpipe.ops.nvrtc import compiler, launch
from xmcpipe.ops.nvrtc.architectures import ARCHITECTURES
from xmcpipe.ops.nvrtc.compiler import Cubin, Resources
from xmcpipe.ops.nvrtc.source import parameters
from xmcpipe.ops.nvrtc.variant import Variant

CPU = torch.device("cpu")
MEBIBYTE = 2**20


@dataclass
class HostGpu:
    """Replaces `ops.nvrtc.driver.Driver`.

    `shared` is the shared memory of a block; `launches` records variants and grids.
    """

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

    def enter(self, _: int) -> None:
        """The host has no context."""

    def stream(self, _: int) -> None:
        """The host has no streams."""

    def launch(
        self, kernel: Variant, _: None, grid: tuple[int, int, int], block: int, shared: int, addresses: int
    ) -> None:
        """Run all blocks at once."""
        self.launches.append((kernel, grid))
        run = HostKernel(kernel.kernel.entry, dict(kernel.macros)).run_at
        run(grid, block, shared, addresses, self.order)

    def active_clusters(self, kernel: Variant, device: int, cluster: int, block: int, shared: int) -> int:
        """As many as the multiprocessors have room for blocks."""
        return max(1, self.multiprocessors * self.occupancy(kernel, device, block, shared) // cluster)

    def occupancy(self, _: Variant, __: int, block: int, shared: int) -> int:
        """As many blocks as threads and shared memory allow."""
        return max(1, min(2048 // block, self.shared // max(shared, 1)))


def install(monkeypatch: pytest.MonkeyPatch, gpu: HostGpu) -> None:
    """Make the host torch's only GPU, as far as the launching code can see."""
    properties = SimpleNamespace(
        shared_memory_per_block_optin=gpu.shared,
        multi_processor_count=gpu.multiprocessors,
        L2_cache_size=gpu.cache_bytes,
    )
    number = int(gpu.architecture.removeprefix("sm_"))
    for target, name, value in (
        (launch, "_driver", lambda: gpu),
        (launch, "_numbered", lambda _: CPU),
        (compiler, "compile_kernel", gpu.compile_kernel),
        (compiler, "architecture_of", lambda _: gpu.architecture),
        (torch.cuda, "device", lambda _: contextlib.nullcontext()),
        (torch.cuda, "current_device", lambda: None),
        (torch.cuda, "current_stream", lambda _: SimpleNamespace(cuda_stream=0)),
        (torch.cuda, "is_current_stream_capturing", lambda: False),
        (torch.cuda, "get_device_capability", lambda _=None: divmod(number, 10)),
        (torch.cuda, "get_device_properties", lambda _=None: properties),
    ):
        monkeypatch.setattr(target, name, value)
    forget()


def forget() -> None:
    """Forget which kernels are loaded."""
    launch._load.cache_clear()
    launch._blocks.cache_clear()
    launch._clusters.cache_clear()
