"""Compiling kernels: the log of ptxas, the cache, and the errors if NVRTC is missing."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from xmcpipe.errors import XmcpipeError
from xmcpipe.ops.nvrtc import compiler, cubin_cache, source
from xmcpipe.ops.nvrtc.compiler import Resources, resources_in
from xmcpipe.ops.nvrtc.variant import Kernel

LOG = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'other' for 'sm_90'
ptxas info    : Function properties for other
ptxas         .     64 bytes stack frame, 12 bytes spill stores, 16 bytes spill loads
ptxas info    : Used 255 registers, used 0 barriers, 64 bytes cumulative stack size
ptxas info    : Compiling entry function 'scores' for 'sm_90'
ptxas info    : Function properties for helper
ptxas         .     8 bytes stack frame, 4 bytes spill stores, 4 bytes spill loads
ptxas info    : Function properties for scores
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 54 registers, used 1 barriers, 8448 bytes smem, 456 bytes cmem[0]
ptxas info    : Compile time = 25.487 ms
"""
SCALE = """\
#include "factor.cuh"
extern "C" __global__ void __launch_bounds__(256) scale(float* x, int n) {
    __shared__ float held[64];
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    held[threadIdx.x % 64] = (float)(FACTOR + MORE);
    __syncthreads();
    if (i < n) x[i] *= held[(threadIdx.x + 1) % 64];
}
"""
KERNEL = Kernel("scale", threads=256, macros=(("MORE", (0, 1)),))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A kernel in a folder of its own, and an empty cache; skipped if NVRTC is missing."""
    if reason := compiler.unavailable_reason():
        pytest.skip(reason)
    monkeypatch.setattr(source, "FOLDERS", (tmp_path,))
    monkeypatch.setenv("XMCPIPE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "scale.cu").write_text(SCALE)
    (tmp_path / "factor.cuh").write_text("#pragma once\n#define FACTOR 3\n")
    source._text_of.cache_clear()
    yield tmp_path
    source._text_of.cache_clear()


@pytest.fixture
def fresh() -> Iterator[None]:
    """Cached facts about NVRTC are cleared, before and after."""
    caches = (compiler.unavailable_reason, compiler.version, compiler._compiled_for)
    for each in caches:
        each.cache_clear()
    yield
    for each in caches:
        each.cache_clear()


def test_the_report_of_ptxas_on_an_entry_is_read() -> None:
    assert resources_in(LOG, "scores") == Resources(54, 8, 4, 4, 8448)
    assert resources_in(LOG, "other") == Resources(255, 64, 12, 16, 0)


@pytest.mark.parametrize("log", ["", LOG.replace("Used", "Has"), LOG.replace("stack frame", "frame")])
def test_a_log_without_the_entry_is_refused(log: str) -> None:
    with pytest.raises(ValueError, match="expected ptxas to report on scores"):
        resources_in(log, "scores")


def test_a_kernel_is_compiled_once(folder: Path) -> None:
    variant = KERNEL.variant(MORE=1)
    assert not compiler.is_cached(variant, "sm_90")
    first, second = compiler.compile_kernel(variant, "sm_90"), compiler.compile_kernel(variant, "sm_90")
    assert (first.cached, second.cached, second.seconds) == (False, True, 0.0)
    assert first.seconds > 0
    assert compiler.is_cached(variant, "sm_90")
    assert second.code == first.code
    assert first.code[:4] == b"\x7fELF"
    assert second.resources == first.resources
    assert first.resources.shared == 256
    assert 0 < first.resources.registers <= 32
    assert (first.resources.stack, first.resources.spill_loads, first.resources.spill_stores) == (0, 0, 0)


def test_macros_architecture_header_and_compiler_each_make_another_cubin(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = [compiler.compile_kernel(KERNEL.variant(), "sm_90")]
    codes.append(compiler.compile_kernel(KERNEL.variant(MORE=1), "sm_90"))
    codes.append(compiler.compile_kernel(KERNEL.variant(), "sm_80"))
    (folder / "factor.cuh").write_text("#define FACTOR 5\n")
    source._text_of.cache_clear()
    codes.append(compiler.compile_kernel(KERNEL.variant(), "sm_90"))
    assert not any(each.cached for each in codes)
    assert len({each.code for each in codes}) == 4
    monkeypatch.setattr(compiler, "version", lambda: (99, 0))
    assert not compiler.is_cached(KERNEL.variant(), "sm_90")


def test_a_truncated_cubin_is_compiled_again(folder: Path) -> None:
    intact = compiler.compile_kernel(KERNEL.variant(), "sm_90")
    (path,) = cubin_cache.folder().iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    second = compiler.compile_kernel(KERNEL.variant(), "sm_90")
    assert not second.cached
    assert second.resources == intact.resources
    assert compiler.compile_kernel(KERNEL.variant(), "sm_90").cached


def test_without_a_cache_a_kernel_is_compiled_each_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XMCPIPE_CACHE", str(folder / "scale.cu"))
    assert not any(compiler.compile_kernel(KERNEL.variant(), "sm_90").cached for _ in range(2))


def test_an_error_names_file_line_and_variant(folder: Path) -> None:
    (folder / "scale.cu").write_text(SCALE.replace("x[i] *=", "x[i] = lost *"))
    source._text_of.cache_clear()
    with pytest.raises(Exception, match=r"scale\.cu\(7\): error: .*lost") as caught:
        compiler.compile_kernel(KERNEL.variant(), "sm_90")
    assert caught.value.__notes__ == ["while compiling scale (MORE=0) for sm_90"]
    assert not cubin_cache.folder().exists()


@pytest.mark.usefixtures("fresh")
def test_without_the_gpu_extra_the_error_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    reason = compiler.unavailable_reason()
    assert reason is not None
    assert reason.startswith("the 'gpu' extra isn't installed: ")
    for call in (compiler.require, compiler.version):
        with pytest.raises(
            XmcpipeError, match=r"can't be compiled: .*gpu.* \(pip install 'xmcpipe\[gpu\]'\)"
        ):
            call()


@pytest.mark.usefixtures("fresh")
def test_without_the_library_the_reason_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def not_found() -> tuple[int, int]:
        raise RuntimeError("libnvrtc.so.13\n  isn't there")

    monkeypatch.setattr(compiler, "_version", not_found)
    compiler.unavailable_reason.cache_clear()
    assert compiler.unavailable_reason() == "NVRTC doesn't load: libnvrtc.so.13 isn't there"


@pytest.mark.parametrize(
    ("capability", "name"),
    [((7, 5), "sm_75"), ((8, 6), "sm_86"), ((8, 8), "sm_86"), ((9, 0), "sm_90"), ((12, 1), "sm_120")],
)
def test_a_device_runs_its_own_code_or_that_of_an_earlier_revision(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], name: str
) -> None:
    monkeypatch.setattr(compiler, "_compiled_for", lambda: frozenset({70, 75, 80, 86, 90, 120}))
    assert compiler.architecture_of(capability) == name


@pytest.mark.parametrize("capability", [(7, 0), (6, 1), (13, 0)])
def test_a_device_too_old_or_too_new_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]
) -> None:
    monkeypatch.setattr(compiler, "_compiled_for", lambda: frozenset({61, 70, 75, 80, 90, 120}))
    monkeypatch.setattr(compiler, "version", lambda: (13, 0))
    with pytest.raises(XmcpipeError, match=rf"compute capability {capability[0]}.{capability[1]} .*sm_75"):
        compiler.architecture_of(capability)
