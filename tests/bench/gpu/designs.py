"""Times the two designs of the fused step on a GPU, in turns: `python -m tests.bench.gpu.designs`.

One pass over the labels, and chunks of labels by three kernels (kernels/README.md), over a grid of D, K and
B; both take the same training step, in turns, with cold caches. Where their times meet is the right value of
`MAX_PASS_RATIO` in `ops/cuda/geometry.py`. Prints a line of JSON for each shape: milliseconds of each,
and the bandwidth of the faster one as a fraction of a measured copy's.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor

from xmcpipe.benchmark.grid import Shape
from xmcpipe.benchmark.problem import WEIGHT_DECAY, Problem, draw
from xmcpipe.benchmark.timing import COPY, Clock, rounds
from xmcpipe.benchmark.traffic import bytes_moved
from xmcpipe.ops.cuda import step_chunks, step_pass
from xmcpipe.ops.layer import Positives, SparseLayer, Update

LABEL_CHUNK = 32_768
Step = Callable[[], tuple[Tensor, Tensor]]
DESIGNS: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "one pass": step_pass.step_,
    "chunks": partial(step_chunks.step_, words=None),
}


def main() -> None:
    """Time the grid, the paper's shapes first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--labels", type=int, default=670_091)
    parser.add_argument("--seconds", type=float, default=0.5, help="for each shape")
    given = parser.parse_args()
    clock = Clock(torch.device("cuda"))
    for features, batch, fan_in in product((768, 384), (64, 16), (128, 64, 32, 256)):
        shape = Shape(given.labels, fan_in, features, batch, "bfloat16")
        print(json.dumps(measure(shape, clock, given.seconds)), flush=True)


def measure(shape: Shape, clock: Clock, seconds: float) -> dict[str, Any]:
    """The row of a shape."""
    problem = draw(shape, clock.device, 1, large_steps=False)
    times = rounds(calls(problem), clock, None, seconds)
    copied = clock.copied_bytes / times.pop(COPY).median_ms
    best = min(each.median_ms for each in times.values())
    sizes = {"labels": shape.labels, "features": shape.features, "fan_in": shape.fan_in, "batch": shape.batch}
    found = {name: round(each.median_ms, 4) for name, each in times.items()}
    share = bytes_moved("step", "ffi", shape) / best / copied
    return {**sizes, "ms": found, "share_of_copy": round(share, 3)}


def calls(problem: Problem) -> dict[str, Step]:
    """A function for each design that can take the step, which takes it on weights of its own."""
    scale, rate = torch.tensor([problem.scale, problem.rate], device=problem.device).unbind()
    step = torch.ones((), dtype=torch.int64, device=problem.device)
    update = Update(scale, rate, step, WEIGHT_DECAY, 0.0, seed=7, first_label=0, label_chunk=LABEL_CHUNK)
    positives = Positives(problem.positive_rows, problem.positive_labels)
    found: dict[str, Step] = {}
    for name, design in DESIGNS.items():
        layer = SparseLayer(problem.weight.clone(), problem.index)
        if name != "one pass" or step_pass.supports(problem.features, layer):
            found[name] = partial(design, problem.features, layer, positives, "squared_hinge", update)
    return found


if __name__ == "__main__":
    main()
