"""Compares the implementations at one operation: checks them on one problem, then times them on another.

A wrong result is never timed. Operations that torch doesn't have, or is known to compute inexactly, are
skipped, and the reason is reported.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from xmcpipe.benchmark import memory, traffic
from xmcpipe.benchmark.grid import Grid, Shape
from xmcpipe.benchmark.implementations import IMPLEMENTATIONS, Implementation
from xmcpipe.benchmark.problem import Problem, draw
from xmcpipe.benchmark.reference import expected, sample_labels
from xmcpipe.benchmark.timing import COPY, Clock, Times, rounds
from xmcpipe.benchmark.validate import Check, checks, poisoned_memory, worst

TIMED, WRONG, SKIPPED = "timed", "wrong", "skipped"


@dataclass
class ImplementationResult:
    """The result of one implementation: `state` is timed, wrong or skipped, and `note` is the reason.

    `error` is the largest of its errors, as a multiple of the allowed error. `ms` and `ms_min` are the median
    and the minimum of the times of `rounds`. `faster` is the speed relative to dense. `share_of_copy` is
    `gb_per_second` divided by that of the copy of the same rounds. `peak_bytes` is the sum of `held_bytes`
    (the operands) and `call_bytes` (allocated at the call's peak).
    """

    implementation: str
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
        """The result in JSON types, with the keys of the schema of bench.json."""
        facts = asdict(self)
        return {"contender": facts.pop("implementation"), **facts}


@dataclass
class Comparison:
    """The results of all implementations at one operation on one shape, and the copy of the same rounds."""

    what: str
    shape: Shape
    results: list[ImplementationResult]
    copy_gb_per_second: float | None = None
    floor_ms: float | None = None  # the time to move our bytes at the speed of that copy


def compare(shape: Shape, what: str, grid: Grid, clock: Clock, seed: int) -> Comparison:
    """Check all implementations of the operation `what`, then time the right ones. Use each `seed` only
    once."""
    device = clock.device
    kinds = [kind for kind in IMPLEMENTATIONS if shape.group > 1 or not kind.grouped]
    results = validate(draw(shape, device, 2 * seed, large_steps=True), what, seed, kinds)
    comparison = Comparison(what, shape, results)
    # Timed on another problem, with updates as small as in training: see `draw`.
    problem = draw(shape, device, 2 * seed + 1, large_steps=False)
    calls = {}
    for kind in kinds:
        result = next(result for result in results if result.implementation == kind.name)
        if result.state == TIMED:
            layer = kind(problem)
            call = layer.call(what)
            result.call_bytes = memory.peak_bytes(call, device)  # also warms up: first calls compile kernels
            result.held_bytes = memory.held_bytes(layer.operands())
            result.peak_bytes = result.call_bytes + result.held_bytes
            calls[kind.name] = call
    if calls:
        _add_times(comparison, rounds(calls, clock, grid.repeats, grid.seconds), clock.copied_bytes)
    return comparison


def validate(
    problem: Problem, what: str, seed: int, kinds: Sequence[type[Implementation]] = IMPLEMENTATIONS
) -> list[ImplementationResult]:
    """One result for each implementation; those in the state `timed` are right, and have no times yet."""
    labels_R = sample_labels(problem, seed)
    exact = expected(problem, what, labels_R)

    def check(kind: type[Implementation]) -> Check:
        # Twice: once where unwritten memory holds NaN, and once as it will be timed.
        with poisoned_memory():
            layer = kind(problem)
            poisoned = checks(what, layer, layer.call(what)(), exact)
        layer = kind(problem)
        return worst([*poisoned, *checks(what, layer, layer.call(what)(), exact)])

    return [_state(kind, problem, what, check) for kind in kinds]


def _state(
    kind: type[Implementation], problem: Problem, what: str, check: Callable[[type[Implementation]], Check]
) -> ImplementationResult:
    """The result of a validation: TIMED if right, WRONG, or SKIPPED with the reason."""
    result = ImplementationResult(kind.name, SKIPPED)
    if (reason := _lacks_memory(kind, problem)) is not None:
        result.note = reason
        return result
    try:
        worst_check = check(kind)
    except (NotImplementedError, RuntimeError) as error:
        # Torch may lack an operation for a dtype or layout; our own ops may only run out of memory.
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


def _lacks_memory(kind: type[Implementation], problem: Problem) -> str | None:
    """An error message if memory is too small for the weights, a gradient of the same size, and scores."""
    shape, size = problem.shape, traffic.BYTES[problem.shape.dtype]
    bytes_per_label = shape.features * size if kind.name == "dense" else shape.fan_in * (size + 12)
    needed = 2 * shape.labels * bytes_per_label + 10 * shape.batch * shape.labels
    free = memory.available_bytes(problem.device)
    return None if needed <= free else f"needs {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free"


def _add_times(comparison: Comparison, times: dict[str, Times], copied_bytes: int) -> None:
    """Add times, speeds and the floor to a comparison and its results, in place."""
    copied = copied_bytes / times[COPY].median_ms / 1e6
    comparison.copy_gb_per_second = copied
    ours = "grouped" if comparison.shape.group > 1 else "ffi"
    comparison.floor_ms = traffic.bytes_moved(comparison.what, ours, comparison.shape) / copied / 1e6
    dense = times.get("dense")
    for result in comparison.results:
        if result.implementation in times:
            own = times[result.implementation]
            result.rounds, result.ms, result.ms_min = len(own.all_ms), own.median_ms, own.min_ms
            result.bytes_moved = traffic.bytes_moved(comparison.what, result.implementation, comparison.shape)
            result.gb_per_second = result.bytes_moved / result.ms / 1e6
            result.share_of_copy = result.gb_per_second / copied
            result.faster = dense.median_ms / result.ms if dense else None
