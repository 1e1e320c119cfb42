"""Fixtures of the kernels' tests."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from host_gpu import HostGpu


@pytest.fixture(scope="session")
def needs_nvrtc() -> None:
    """Skip where kernels can't be compiled, and say why."""
    from xmcpipe.ops.nvrtc import missing

    if reason := missing():
        pytest.skip(reason)


@pytest.fixture
def host_gpu(monkeypatch: pytest.MonkeyPatch) -> "Iterator[HostGpu]":
    """The host in place of a GPU."""
    import host_gpu
    import host_kernel

    if host_kernel.COMPILER is None:
        pytest.skip("no g++")
    gpu = host_gpu.HostGpu()
    host_gpu.install(monkeypatch, gpu)
    yield gpu
    host_gpu.forget()
