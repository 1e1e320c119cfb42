"""Runs the whole grid, shape by shape, and builds the JSON document of its results."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import count
from typing import Any

import torch

from xmcpipe.benchmark import machine, traffic
from xmcpipe.benchmark.compare import WRONG, Comparison, compare
from xmcpipe.benchmark.grid import Grid, Shape
from xmcpipe.benchmark.timing import Clock
from xmcpipe.progress import progress

SCHEMA_VERSION = 1  # version of the JSON document


def bench(
    grid: Grid, device: torch.device, each: Callable[[Comparison], None] | None = None
) -> Iterator[tuple[Shape, list[Comparison]]]:
    """Yield each shape with one comparison per operation, as soon as they are done.

    `each` is called after every comparison, so that a long run can keep what it has.
    """
    clock, seeds, shapes = Clock(device), count(1), list(grid.shapes())
    for number, shape in enumerate(shapes, start=1):
        comparisons = []
        with progress(f"{number}/{len(shapes)}  {shape.title}", len(grid.what), "comparison") as bar:
            for what in grid.what:
                bar.set_postfix_str(what)
                comparisons.append(compare(shape, what, grid, clock, next(seeds)))
                if each is not None:
                    each(comparisons[-1])
                bar.update()
        yield shape, comparisons


def document(grid: Grid, device: torch.device, comparisons: Iterable[Comparison]) -> dict[str, Any]:
    """Machine, settings and all results, in JSON types."""
    return {
        "schema_version": SCHEMA_VERSION,
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.facts(device),
        "settings": asdict(grid),
        "bytes_moved": {f"{what} {name}": formula for (what, name), formula in traffic.FORMULAS.items()},
        "comparisons": [
            {
                "what": each.what,
                **asdict(each.shape),
                "copy_gb_per_second": each.copy_gb_per_second,
                "floor_ms": each.floor_ms,
                "results": [result.facts() for result in each.results],
            }
            for each in comparisons
        ],
    }


def any_wrong(comparisons: Iterable[Comparison]) -> bool:
    """Whether any result was wrong."""
    return any(result.state == WRONG for each in comparisons for result in each.results)
