"""Loading and launching on a real GPU: streams, threads, graphs, shared memory, the second device."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from xmcpipe.ops.nvrtc import source
from xmcpipe.ops.nvrtc.launch import blocks_per_multiprocessor, launch, load, shared_limit, unavailable_reason
from xmcpipe.ops.nvrtc.variant import Kernel

pytestmark = pytest.mark.gpu

TEXT = """\
#include "factor.cuh"
extern "C" __global__ void __launch_bounds__(THREADS)
scale(const float* x, float* out, const float* bias, int n, i64 begin, u64 seed, float factor, int spins) {
    extern __shared__ float held[];
    long long start = clock64();
    while (clock64() - start < spins) {}
    int i = blockIdx.x * THREADS + threadIdx.x;
    held[threadIdx.x] = i < n ? x[i] : 0.0f;
    __syncthreads();
    float other = held[THREADS - 1 - threadIdx.x];
    if (i < n) out[i] = factor * other + (bias ? bias[i] : 0.0f) + (float)(begin >> 32) + (float)(seed >> 60);
}
"""
THREADS = 128
SCALE = Kernel("scale", threads=THREADS, macros=(("MORE", (0, 1)),), optional=("bias",))


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The kernel in a folder of its own."""
    monkeypatch.setattr(source, "FOLDERS", (tmp_path,))
    (tmp_path / "scale.cu").write_text(TEXT)
    (tmp_path / "factor.cuh").write_text(
        f"#define THREADS {THREADS}\ntypedef long long i64;\ntypedef unsigned long long u64;\n"
    )
    source._text_of.cache_clear()
    if reason := unavailable_reason(torch.device("cuda")):
        pytest.skip(reason)
    yield
    source._text_of.cache_clear()


def scaled(
    x: torch.Tensor,
    bias: torch.Tensor | None = None,
    shared: int = 4 * THREADS,
    out: torch.Tensor | None = None,
    spins: int = 0,
    more: int = 0,
) -> torch.Tensor:
    """The kernel's output for a whole number of blocks."""
    out = torch.full_like(x, torch.nan) if out is None else out
    variant, numbers = SCALE.variant(MORE=more), {"n": len(x), "begin": 3 << 32, "seed": 5 << 60}
    grid = (len(x) // THREADS,)
    launch(variant, x.device, grid, shared, x=x, out=out, bias=bias, factor=0.5, spins=spins, **numbers)
    return out


def expected(x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    turned = x.reshape(-1, THREADS).flip(1).flatten()
    return 0.5 * turned + (0.0 if bias is None else bias) + 3.0 + 5.0  # as the kernel adds them


def test_every_argument_arrives() -> None:
    x, bias = torch.randn(2, 10 * THREADS, device="cuda")
    assert torch.equal(scaled(x), expected(x))
    assert torch.equal(scaled(x, bias), expected(x, bias))


@pytest.mark.parametrize("more", [0, 1])
def test_a_block_may_use_all_of_its_shared_memory(more: int) -> None:
    x = torch.randn(THREADS, device="cuda")
    limit = shared_limit(x.device)
    assert torch.equal(scaled(x, shared=limit, more=more), expected(x))
    assert blocks_per_multiprocessor(SCALE.variant(), x.device, limit) == 1
    assert blocks_per_multiprocessor(SCALE.variant(), x.device, 0) > 1
    with pytest.raises(ValueError, match="bytes of dynamic shared memory"):
        scaled(x, shared=limit + 1)


def test_it_runs_on_the_current_stream() -> None:
    x = torch.zeros(THREADS, device="cuda")
    out = scaled(x)
    torch.cuda.synchronize()
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    with torch.cuda.stream(side):
        scaled(x, spins=200_000_000, out=out)  # a tenth of a second
        x.fill_(1.0)  # waits for the kernel, as it is on its stream
        ended = side.record_event()
    assert not ended.query()
    assert torch.cuda.current_stream().query()
    side.synchronize()
    assert torch.equal(out, expected(torch.zeros_like(x)))


def test_a_new_thread_has_torch_s_context() -> None:
    x, results = torch.randn(THREADS, device="cuda"), []
    thread = threading.Thread(target=lambda: results.append(scaled(x, out=torch.empty_like(x))))
    thread.start()
    thread.join()
    assert torch.equal(results[0], expected(x))


def test_a_graph_records_and_replays_it() -> None:
    x = torch.randn(THREADS, device="cuda")
    out = scaled(x)  # loads it
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        scaled(x, out=out)
    x.copy_(torch.randn_like(x))
    graph.replay()
    assert torch.equal(out, expected(x))


def test_loading_within_a_capture_is_refused() -> None:
    x = torch.zeros(THREADS, device="cuda")
    fresh = Kernel("scale", threads=THREADS, macros=(("MORE", (0, 1)), ("EVEN_MORE", (0,))))
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        x.add_(1.0)  # an empty graph would be a warning
        with pytest.raises(RuntimeError, match="run the step once before"):
            load(fresh.variant(), x.device)


def test_it_runs_on_the_second_gpu() -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("one GPU")
    first, second = torch.randn(THREADS, device="cuda:0"), torch.randn(THREADS, device="cuda:1")
    for x in (second, first, second):
        assert torch.equal(scaled(x), expected(x))
    assert torch.cuda.current_device() == 0
    out, numbers = torch.empty_like(second), {"n": THREADS, "begin": 0, "seed": 0, "spins": 0}
    with pytest.raises(ValueError, match="expected x contiguous float32 on cuda:1"):
        launch(SCALE.variant(), second.device, (1,), 0, x=first, out=out, factor=0.5, **numbers)
