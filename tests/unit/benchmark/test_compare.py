"""Implementations are checked, then timed; a wrong one is not timed."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from xmcpipe.benchmark import compare as module
from xmcpipe.benchmark import memory, timing
from xmcpipe.benchmark.compare import SKIPPED, TIMED, WRONG, ImplementationResult, compare
from xmcpipe.benchmark.grid import WHAT, Grid, Shape
from xmcpipe.benchmark.implementations import IMPLEMENTATIONS, Dense, FixedFanIn, Implementation, Output
from xmcpipe.benchmark.timing import Clock

SHAPE = Shape(300, 8, 32, 4, "float32")
GRID = Grid(repeats=2)
MakeClock = Callable[..., Clock]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> MakeClock:
    monkeypatch.setattr(timing, "COPIED_BYTES", {"cpu": 1 << 20, "cuda": 1 << 20})
    monkeypatch.setattr(timing, "SWEPT_BYTES", {"cpu": 1 << 20, "cuda": 1 << 20})
    return lambda device="cpu": Clock(torch.device(device))


def results(
    shape: Shape,
    what: str,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    *implementations: type[Implementation],
) -> dict[str, ImplementationResult]:
    monkeypatch.setattr(module, "IMPLEMENTATIONS", implementations or IMPLEMENTATIONS)
    return {result.implementation: result for result in compare(shape, what, GRID, clock, seed=1).results}


@pytest.mark.parametrize("what", WHAT)
def test_groups_are_timed_beside_the_plain_layer(
    what: str, clock: MakeClock, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = results(replace(SHAPE, group=16), what, clock(device), monkeypatch, *IMPLEMENTATIONS[:3])
    assert [result.state for result in found.values()] == [TIMED] * 3
    grouped, plain = found["grouped"], found["ffi"]
    assert grouped.bytes_moved is not None
    assert plain.bytes_moved is not None
    assert grouped.bytes_moved < plain.bytes_moved


@pytest.mark.parametrize("what", WHAT)
def test_right_results_are_timed(
    what: str, clock: MakeClock, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = results(SHAPE, what, clock(device), monkeypatch)
    assert list(found) == ["ffi", "dense", "csr", "embedding_bag"]  # there are no groups
    for name in ("ffi", "dense"):
        result = found[name]
        assert result.state == TIMED, result
        assert result.error is not None
        assert result.ms is not None
        assert result.ms_min is not None
        assert result.bytes_moved is not None
        assert result.held_bytes is not None
        assert result.call_bytes is not None
        assert 0.0 <= result.error <= 1.0
        assert result.rounds == 2
        assert 0.0 < result.ms_min <= result.ms
        assert result.gb_per_second == pytest.approx(result.bytes_moved / result.ms / 1e6)
        assert result.peak_bytes == result.held_bytes + result.call_bytes
    assert found["dense"].faster == 1.0
    ours, dense = found["ffi"].ms, found["dense"].ms
    assert ours is not None
    assert dense is not None
    assert found["ffi"].faster == pytest.approx(dense / ours)
    assert all(result.note for result in found.values() if result.state == SKIPPED)


class Off(FixedFanIn):
    name = "ffi"

    def forward(self) -> Output:
        (scores,) = super().forward()
        scores[:, -1] = 0.0
        return (scores,)


class Unfinished(FixedFanIn):
    """Right only if unwritten memory happens to hold the scores, which poisoned memory doesn't."""

    name = "ffi"

    def forward(self) -> Output:
        (scores,) = super().forward()
        buffer = torch.empty_like(scores)
        buffer[:, :-1] = scores[:, :-1]
        if not bool(buffer.isnan().any()):
            return (scores,)
        return (buffer,)


@pytest.mark.parametrize("kind", [Off, Unfinished])
def test_a_wrong_result_is_refused(
    kind: type[Implementation], clock: MakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = results(SHAPE, "forward", clock(), monkeypatch, kind, Dense)
    assert found["ffi"].state == WRONG
    assert found["ffi"].ms is None
    assert "scores" in found["ffi"].note
    assert found["dense"].state == TIMED


class Lacking(Implementation):
    name = "csr"

    def forward(self) -> Output:
        raise RuntimeError("not implemented for 'Half'\nand more")


class Broken(FixedFanIn):
    def forward(self) -> Output:
        raise RuntimeError("a fault of ours")


class Imprecise(Off):
    name, ours = "embedding_bag", False

    def loses_precision(self, what: str) -> str:
        return "torch sums in 8 bits"


def test_an_operation_that_torch_lacks_is_skipped_with_the_reason(
    clock: MakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = results(SHAPE, "forward", clock(), monkeypatch, Lacking, Imprecise)
    assert found["csr"].state == SKIPPED
    assert found["csr"].note == "not implemented for 'Half'"
    assert found["embedding_bag"].state == SKIPPED
    assert found["embedding_bag"].note.startswith("torch sums in 8 bits: ")


def test_a_fault_of_ours_is_not_hidden(clock: MakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="a fault of ours"):
        results(SHAPE, "forward", clock(), monkeypatch, Broken)


def test_an_implementation_that_needs_too_much_memory_is_skipped(
    clock: MakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda device: 60_000)
    found = results(SHAPE, "forward", clock(), monkeypatch, FixedFanIn, Dense)
    assert found["dense"].state == SKIPPED
    assert "memory" in found["dense"].note
    assert found["ffi"].state == SKIPPED or found["ffi"].faster is None


def test_nan_is_not_written_as_a_number(clock: MakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nan(Off):
        def forward(self) -> Output:
            return (super().forward()[0] * math.nan,)

    found = results(SHAPE, "forward", clock(), monkeypatch, Nan)["ffi"]
    assert found.state == WRONG
    assert found.error is None
