"""One comparison: the contenders validated on one problem, and those that are right timed on another.

A wrong result is never timed. What torch can't do, or is known to do inexactly, is left out with the reason.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from xmcpipe.benchmark import memory, traffic
from xmcpipe.benchmark.contenders import CONTENDERS, Contender
from xmcpipe.benchmark.grid import Grid, Shape
from xmcpipe.benchmark.problem import Problem, draw
from xmcpipe.benchmark.reference import expected, sample_labels
from xmcpipe.benchmark.timing import COPY, Clock, Times, rounds
from xmcpipe.benchmark.validate import Check, checks, poisoned_memory, worst

TIMED, WRONG, SKIPPED = "timed", "wrong", "skipped"


@dataclass
class Result:
    """What became of one contender: `state` is timed, wrong or skipped, and `note` says why not timed.

    `error` is the worst of its errors, in units of what is allowed. `faster` is how many times as fast as
    dense it is. `peak_bytes` is `held_bytes` (the operands) and `call_bytes` (allocated at the call's peak).
    """

    contender: str
    state: str
    note: str = ""
    error: float | None = None
    rounds: int = 0
    ms: float | None = None
    ms_min: float | None = None
    faster: float | None = None
    bytes_moved: int | None = None
    gb_per_second: float | None = None
    share_of_copy: float | None = None
    peak_bytes: int | None = None
    held_bytes: int | None = None
    call_bytes: int | None = None

    def facts(self) -> dict[str, Any]:
        """In JSON types."""
        return asdict(self)


@dataclass
class Comparison:
    """All contenders at one thing on one shape, and the copy of the same rounds."""

    what: str
    shape: Shape
    results: list[Result]
    copy_gb_per_second: float | None = None
    floor_ms: float | None = None  # our bytes at the speed of that copy


def compare(shape: Shape, what: str, grid: Grid, clock: Clock, seed: int) -> Comparison:
    """Validate, then time. `seed` should never be the same twice."""
    device = clock.device
    results = _validate(draw(shape, device, 2 * seed, large_steps=True), what, seed)
    comparison = Comparison(what, shape, results)
    problem = draw(shape, device, 2 * seed + 1, large_steps=False)
    calls = {}
    for kind in CONTENDERS:
        result = next(result for result in results if result.contender == kind.name)
        if result.state == TIMED:
            contender = kind(problem)
            call = contender.call(what)
            result.call_bytes = memory.peak_bytes(call, device)
            result.held_bytes = memory.held_bytes(contender.operands())
            result.peak_bytes = result.call_bytes + result.held_bytes
            calls[kind.name] = call
    if calls:
        _note_times(comparison, rounds(calls, clock, grid.repeats, grid.seconds), clock.copied_bytes)
    return comparison


def _validate(problem: Problem, what: str, seed: int) -> list[Result]:
    """A result for each contender, timed yet to be: its state says whether it may be."""
    labels_R = sample_labels(problem, seed)
    exact = expected(problem, what, labels_R)

    def check(kind: type[Contender]) -> Check:
        with poisoned_memory():
            contender = kind(problem)
            found = checks(what, contender, contender.call(what)(), exact)
        contender = kind(problem)
        return worst([*found, *checks(what, contender, contender.call(what)(), exact)])

    return [_state(kind, problem, what, check) for kind in CONTENDERS]


def _state(
    kind: type[Contender], problem: Problem, what: str, check: Callable[[type[Contender]], Check]
) -> Result:
    result = Result(kind.name, SKIPPED)
    if (reason := _lacks_memory(kind, problem)) is not None:
        result.note = reason
        return result
    try:
        worst_check = check(kind)
    except (NotImplementedError, RuntimeError) as error:
        if kind.ours and not isinstance(error, torch.OutOfMemoryError):
            raise
        result.note = str(error).splitlines()[0] if str(error) else "torch has no such operation"
        return result
    result.error = worst_check.severity if math.isfinite(worst_check.severity) else None
    result.state = TIMED if worst_check.holds else WRONG
    if not worst_check.holds:
        known = kind(problem).loses_precision(what)
        result.state, result.note = (
            (SKIPPED, f"{known}: {worst_check}") if known else (WRONG, str(worst_check))
        )
    return result


def _lacks_memory(kind: type[Contender], problem: Problem) -> str | None:
    """Why there is no room for the contender: its weights, as much again for a gradient, and scores."""
    shape, size = problem.shape, traffic.BYTES[problem.shape.dtype]
    a_label = shape.features * size if kind.name == "dense" else shape.fan_in * (size + 12)
    wanted = 2 * shape.labels * a_label + 10 * shape.batch * shape.labels
    free = memory.available_bytes(problem.device)
    return None if wanted <= free else f"needs {wanted / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free"


def _note_times(comparison: Comparison, times: dict[str, Times], copied_bytes: int) -> None:
    copied = copied_bytes / times[COPY].median_ms / 1e6
    comparison.copy_gb_per_second = copied
    comparison.floor_ms = traffic.bytes_moved(comparison.what, "ffi", comparison.shape) / copied / 1e6
    dense = times.get("dense")
    for result in comparison.results:
        if result.contender in times:
            taken = times[result.contender]
            result.rounds, result.ms, result.ms_min = len(taken.all_ms), taken.median_ms, taken.min_ms
            result.bytes_moved = traffic.bytes_moved(comparison.what, result.contender, comparison.shape)
            result.gb_per_second = result.bytes_moved / result.ms / 1e6
            result.share_of_copy = result.gb_per_second / copied
            result.faster = dense.median_ms / result.ms if dense else None
