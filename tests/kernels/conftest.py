"""Fixtures of the kernels' tests.

XMCPIPE_KERNELS=ptx runs the kernels of all these tests as compiled PTX (`tests/kernels/ptx`) instead of as
text: minutes.
"""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.kernels.host.gpu import HostGpu


@pytest.fixture(scope="session")
def needs_nvrtc() -> None:
    """Skip with the reason if kernels can't be compiled."""
    from xmcpipe.ops.nvrtc.compiler import unavailable_reason

    if reason := unavailable_reason():
        pytest.skip(reason)


@pytest.fixture
def as_ptx(monkeypatch: pytest.MonkeyPatch, needs_nvrtc: None) -> None:
    """Run kernels as compiled PTX."""
    from tests.kernels.host import kernel as host_kernel
    from tests.kernels.ptx.kernel import build_from_ptx

    monkeypatch.setattr(host_kernel, "build", build_from_ptx)


if os.environ.get("XMCPIPE_KERNELS") == "ptx":

    @pytest.fixture(autouse=True)
    def _all_as_ptx(as_ptx: None) -> None:
        """Run the kernels of every test as compiled PTX."""


@pytest.fixture
def host_gpu(monkeypatch: pytest.MonkeyPatch) -> "Iterator[HostGpu]":
    """The host in place of a GPU."""
    from tests.kernels.host import gpu as host_gpu
    from tests.kernels.host import kernel as host_kernel

    if host_kernel.COMPILER is None:
        pytest.skip("no g++")
    gpu = host_gpu.HostGpu()
    host_gpu.install(monkeypatch, gpu)
    yield gpu
    host_gpu.forget()
