"""The log of a training (log/metrics.jsonl) as curves over epochs.

The axis shows epochs instead of steps, so that runs with different batch sizes can be compared. Long curves
are thinned to a few hundred points, the means of equal pieces, since a chart can't show more.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from xmcpipe.json_file import parse_json

logger = logging.getLogger(__name__)

MAX_POINTS = 240  # of a curve
LARGEST = 1e100  # larger numbers in a log are ignored: sums of them could overflow
Points = list[tuple[float, float]]  # (x, y)


@dataclass(frozen=True)
class Curves:
    """The curves of a training: `points` maps the name of a curve to its (epoch, value) pairs, in order.

    The names are: loss; auxiliary weight; rate, as a fraction of its peak; documents a second, between two
    lines of the log; rewired, as a fraction of all connections; gradient main and gradient auxiliary; and
    P@k, of validation. `rewirings` has the fraction of all connections that each rewiring replaced, without
    thinning.
    """

    points: dict[str, Points] = field(default_factory=dict)
    rewirings: list[float] = field(default_factory=list)

    def of(self, name: str) -> Points:
        """The points of one curve; empty if the log doesn't have it."""
        return self.points.get(name, [])


def read_curves(model: Path | None) -> Curves:
    """The curves of a model artifact; empty if there is no model, or no log with epochs."""
    lines = [] if model is None else _lines(model / "log" / "metrics.jsonl")
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        by_kind.setdefault(line["kind"], []).append(line)
    train = [line for line in by_kind.get("train", []) if line["step"] > 0]
    # Lines of validation and rewiring have a step but no epoch: convert with the last line that has both.
    last = next((line for line in reversed(train) if line.get("epoch", 0) > 0), None)
    if last is None:
        return Curves()
    epoch_of_step = last["epoch"] / last["step"]
    rewired = _column(by_kind.get("rewire", []), "share", epoch_of_step)
    points = {
        "loss": _column(train, "loss", epoch_of_step),
        "auxiliary weight": _column(train, "auxiliary_weight", epoch_of_step),
        "rate": _column(train, "rate_factor", epoch_of_step),
        "documents a second": rates(_column(train, "documents_per_second", epoch_of_step)),
        "rewired": rewired,
        "gradient main": _column(by_kind.get("gradient", []), "main", epoch_of_step),
        "gradient auxiliary": _column(by_kind.get("gradient", []), "auxiliary", epoch_of_step),
    }
    validation = by_kind.get("validation", [])
    for name in dict.fromkeys(key for line in validation for key in line if key.startswith("P@")):
        points[name] = _column(validation, name, epoch_of_step)
    if not any(value for _, value in points["auxiliary weight"]):  # a training without an auxiliary loss
        points["auxiliary weight"] = []
    curves = {name: thinned(curve) for name, curve in points.items() if curve}
    return Curves(curves, [fraction for _, fraction in rewired])


def rates(means: Points) -> Points:
    """The speed between two lines of a log, computed from the mean speeds since the start.

    The number of documents up to a line is d = c * epoch, with an unknown constant c. The seconds up to it
    are d / mean. The speed between two lines is the difference in documents by the difference in seconds, in
    which c cancels.
    """
    speeds, epoch_before, seconds_before = [], 0.0, 0.0
    for epoch, mean in means:
        seconds = epoch / mean if mean > 0 else 0.0  # divided by c
        if epoch > epoch_before and seconds > seconds_before:
            speeds.append((epoch, (epoch - epoch_before) / (seconds - seconds_before)))
            epoch_before, seconds_before = epoch, seconds
    return speeds


def thinned(points: Points, most: int = MAX_POINTS) -> Points:
    """At most `most` points: the means of equal pieces, in order."""
    if len(points) <= most:
        return points
    edges = [round(at * len(points) / most) for at in range(most + 1)]
    pieces = [points[low:high] for low, high in pairwise(edges)]
    return [(_mean([x for x, _ in piece]), _mean([y for _, y in piece])) for piece in pieces]


def _column(lines: list[dict[str, Any]], key: str, epoch_of_step: float) -> Points:
    """(epoch, value) of the lines that have a number under `key`; a dropped branch writes null."""
    return [(line["step"] * epoch_of_step, float(line[key])) for line in lines if key in line]


def _lines(path: Path) -> list[dict[str, Any]]:
    """The valid lines of a log, each with its `kind`, its `step` (0: before the first) and its other numbers.

    Invalid lines, which a killed process or a bad disk can leave, are ignored with one warning.
    """
    if not path.is_file():
        return []
    lines, bad = [], []
    for number, text in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        try:
            line = parse_json(text)
        except (ValueError, RecursionError):
            line = None
        if isinstance(line, Mapping) and isinstance(line.get("kind"), str) and _is_step(line.get("step")):
            numbers = {key: value for key, value in line.items() if _is_number(value)}
            lines.append({**numbers, "kind": line["kind"]})
        else:
            bad.append(number)
    if bad:
        more = f", and {len(bad) - 1:,} more" if bad[1:] else ""
        logger.warning("%s: line %d%s can't be read, ignored", path, bad[0], more)
    return lines


def _is_step(value: Any) -> bool:
    return type(value) is int and 0 <= value < LARGEST


def _is_number(value: Any) -> bool:
    """Whether the value is a finite number; a bool is not one."""
    return type(value) in (int, float) and abs(value) <= LARGEST


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
