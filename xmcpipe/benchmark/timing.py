"""Milliseconds of calls that compete, taken in turn: A B C A B C, so that a noisy machine slows all alike.

A large tensor is copied in every round too: bytes read and written a second are the machine's bandwidth under
the same conditions. Before each call another large tensor is read, which empties the caches; on a GPU that
also gives the host the time to have the call's kernels queued, so that their launch is not what is measured.
Times on a GPU are those between two events.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

MIN_ROUNDS = 3
COPY = "copy"
MEGABYTE = 1 << 20
COPIED_BYTES = {"cpu": 128 * MEGABYTE, "cuda": 512 * MEGABYTE}
SWEPT_BYTES = {"cpu": 128 * MEGABYTE, "cuda": 256 * MEGABYTE}


@dataclass(frozen=True)
class Times:
    """Milliseconds of every round of one call."""

    all_ms: tuple[float, ...]

    @property
    def median_ms(self) -> float:
        """The middle one."""
        return statistics.median(self.all_ms)

    @property
    def min_ms(self) -> float:
        """The best one."""
        return min(self.all_ms)


class Clock:
    """Times one call at a time on a device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        swept = SWEPT_BYTES[device.type]
        if device.type == "cuda":
            swept = max(swept, 4 * torch.cuda.get_device_properties(device).L2_cache_size)
        copied = COPIED_BYTES[device.type]
        self._swept = torch.ones(swept // 4, device=device)
        self._source = torch.ones(copied // 4, device=device)
        self._target = torch.ones(copied // 4, device=device)
        self.copied_bytes = 2 * copied  # read and written

    def copy(self) -> None:
        """The copy that stands for the machine's bandwidth."""
        self._target.copy_(self._source)

    def milliseconds(self, call: Callable[[], object]) -> float:
        """Of one call, with cold caches."""
        self._swept.sum()
        if self.device.type == "cuda":
            return self._milliseconds_of_events(call)
        started = time.perf_counter()
        call()
        return 1000.0 * (time.perf_counter() - started)

    def _milliseconds_of_events(self, call: Callable[[], object]) -> float:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        with torch.cuda.device(self.device):
            begin.record()
            call()
            end.record()
            torch.cuda.synchronize(self.device)
        return float(begin.elapsed_time(end))


def rounds(
    calls: Mapping[str, Callable[[], object]], clock: Clock, repeats: int | None, seconds: float
) -> dict[str, Times]:
    """The times of all `calls`, and of the copy, in turns.

    `repeats` rounds; None: rounds until `seconds` are over, and 3 at least. A call that takes more than that
    by itself is left out of later rounds.
    """
    competing = {COPY: clock.copy, **calls}
    found: dict[str, list[float]] = {name: [] for name in competing}
    done, started = 0, time.perf_counter()
    while done < (repeats or MIN_ROUNDS) or (repeats is None and time.perf_counter() - started < seconds):
        for name, call in competing.items():
            slow = repeats is None and done >= MIN_ROUNDS and min(found[name]) > 1000.0 * seconds
            if not slow:
                found[name].append(clock.milliseconds(call))
        done += 1
    return {name: Times(tuple(all_ms)) for name, all_ms in found.items()}
