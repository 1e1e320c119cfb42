"""Times calls in turns, A B C A B C, so that noise on the machine slows all of them equally.

Each round also copies a large tensor: the bytes that it reads and writes per second are the machine's
bandwidth under the same conditions. Before each call another large tensor is read, which evicts the caches;
on a GPU this also gives the host time to queue the call's kernels, so that their launch is not measured.
Times on a GPU are measured between two events.
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
# Read before each call, to evict the caches: larger than any of them.
SWEPT_BYTES = {"cpu": 128 * MEGABYTE, "cuda": 256 * MEGABYTE}


@dataclass(frozen=True)
class Times:
    """Milliseconds of every round of one call."""

    all_ms: tuple[float, ...]

    @property
    def median_ms(self) -> float:
        """The median time."""
        return statistics.median(self.all_ms)

    @property
    def min_ms(self) -> float:
        """The shortest time."""
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
        """Copy the tensor that measures the machine's bandwidth."""
        self._target.copy_(self._source)

    def milliseconds(self, call: Callable[[], object]) -> float:
        """The time of one call, with cold caches."""
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
    """Time all `calls`, and the copy, in turns.

    Runs `repeats` rounds; with None, rounds until `seconds` have passed, at least 3. A call that takes longer
    than `seconds` by itself is skipped after 3 rounds.
    """
    all_calls = {COPY: clock.copy, **calls}
    times: dict[str, list[float]] = {name: [] for name in all_calls}
    done, started = 0, time.perf_counter()
    while done < (repeats or MIN_ROUNDS) or (repeats is None and time.perf_counter() - started < seconds):
        for name, call in all_calls.items():
            slow = repeats is None and done >= MIN_ROUNDS and min(times[name]) > 1000.0 * seconds
            if not slow:
                times[name].append(clock.milliseconds(call))
        done += 1
    return {name: Times(tuple(all_ms)) for name, all_ms in times.items()}
