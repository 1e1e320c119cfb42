"""Slices on torch's threads: results in order, from either pool, and errors are raised."""

import threading

import pytest
import torch

from xmcpipe.ops.cpu import threads
from xmcpipe.ops.cpu.threads import over_slices, slices


@pytest.mark.parametrize("num_labels", [0, 1, 2047, 2048, 2049, 65_536, 65_537, 10_000_000])
def test_slices_cover_the_labels(num_labels: int) -> None:
    parts = slices(num_labels)
    assert [begin for begin, _ in parts] == [0, *(end for _, end in parts)][: len(parts)]
    assert sum(end - begin for begin, end in parts) == num_labels
    assert len(parts) <= threads.SLICES
    assert len(slices(num_labels, 3)) <= 3


@pytest.fixture(params=["openmp", "pool", "alone"])
def two_threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "openmp" and threads._openmp() is None:
        pytest.skip("torch has no OpenMP of GCC's interface")
    if request.param == "pool":
        monkeypatch.setattr(threads, "_openmp", lambda: None)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1 if request.param == "alone" else 2)


def test_results_are_in_order(two_threads: None) -> None:
    parts = [(number, number + 1) for number in range(50)]
    assert over_slices(lambda number, begin, end: (number, begin, end), parts) == [
        (number, number, number + 1) for number in range(50)
    ]
    assert over_slices(lambda number, begin, end: number, []) == []


def test_an_error_comes_back_and_ends_the_work(two_threads: None) -> None:
    started: list[int] = []

    def fail(number: int, begin: int, end: int) -> None:
        started.append(number)
        raise ValueError(f"slice {number}")

    with pytest.raises(ValueError, match="slice"):
        over_slices(fail, [(number, number + 1) for number in range(50)])
    assert len(started) <= 2


def test_slices_run_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    if threads._openmp() is None:
        pytest.skip("torch has no OpenMP of GCC's interface")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    barrier = threading.Barrier(2, timeout=60)
    over_slices(lambda number, begin, end: barrier.wait(), [(0, 1), (1, 2)])
