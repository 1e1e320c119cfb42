"""Calls are timed in turns."""

from collections.abc import Callable

import pytest
import torch

from xmcpipe.benchmark import timing
from xmcpipe.benchmark.timing import COPY, MIN_ROUNDS, Clock, Times, rounds


class FakeClock(Clock):
    """Returns fixed times for calls, and records their order."""

    def __init__(self, milliseconds: dict[str, float]) -> None:
        self.times: dict[str, float] = milliseconds
        self.order: list[str] = []

    def copy(self) -> str:  # type: ignore[override]
        return COPY

    def milliseconds(self, call: Callable[[], object]) -> float:
        name = str(call())
        self.order.append(name)
        return self.times.get(name, 1.0)


CALLS = {"a": lambda: "a", "b": lambda: "b"}


def test_calls_take_turns_with_each_other_and_with_the_copy() -> None:
    clock = FakeClock({})
    times = rounds(CALLS, clock, repeats=4, seconds=1.0)
    assert clock.order == [COPY, "a", "b"] * 4
    assert {name: len(each.all_ms) for name, each in times.items()} == {COPY: 4, "a": 4, "b": 4}


def test_there_are_at_least_three_rounds() -> None:
    assert len(rounds(CALLS, FakeClock({}), None, seconds=1e-9)["a"].all_ms) == MIN_ROUNDS


def test_a_call_that_takes_all_the_time_is_skipped_after_three_rounds() -> None:
    times = rounds(CALLS, FakeClock({"b": 60_000.0}), None, seconds=0.05)
    assert len(times["b"].all_ms) == MIN_ROUNDS
    assert len(times["a"].all_ms) > MIN_ROUNDS


def test_median_and_minimum() -> None:
    times = Times((3.0, 1.0, 9.0))
    assert (times.median_ms, times.min_ms) == (3.0, 1.0)


def test_a_clock_measures_on_every_device(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "COPIED_BYTES", {device: 1 << 20})
    monkeypatch.setattr(timing, "SWEPT_BYTES", {device: 1 << 20})
    clock = Clock(torch.device(device))
    done: list[int] = []
    assert clock.milliseconds(lambda: done.append(1)) >= 0.0
    assert done == [1]
    assert clock.milliseconds(clock.copy) > 0.0
    assert clock.copied_bytes == 2 << 20
