"""Times the two designs of the fused step on a GPU, in turns: `python -m tests.bench.step_designs`.

One pass over the labels, and chunks of labels by three kernels (kernels/README.md), over a grid of D, K and
B; both take the same training step, in turns, with cold caches. Where their times meet is the right value of
`MAX_PASS_RATIO` in `ops/cuda/geometry.py`. Prints a line of JSON for each shape: milliseconds of each,
and the bandwidth of the faster one as a fraction of a measured copy's.
"""

import argparse
import json
from collections.abc import Callable
from types import ModuleType

import torch

from xmcpipe.benchmark.grid import Shape
from xmcpipe.benchmark.problem import WEIGHT_DECAY, Problem, draw
from xmcpipe.benchmark.timing import COPY, Clock, rounds
from xmcpipe.benchmark.traffic import bytes_moved
from xmcpipe.ops.cuda import step_chunks, step_pass
from xmcpipe.ops.layer import Positives, SparseLayer, Update

LABEL_CHUNK = 32_768
DESIGNS = {"one pass": step_pass, "chunks": step_chunks}


def call(design: ModuleType, problem: Problem) -> Callable[[], object]:
    """A function that runs one step in a design."""
    scale, rate = torch.tensor([problem.scale, problem.rate], device=problem.device)
    step = torch.ones((), dtype=torch.int64, device=problem.device)
    update = Update(scale, rate, step, WEIGHT_DECAY, 0.0, seed=7, first_label=0, label_chunk=LABEL_CHUNK)
    positives = Positives(problem.positive_rows, problem.positive_labels)
    layer = SparseLayer(problem.weight.clone(), problem.index)
    return lambda: design.step_(problem.features, layer, positives, "squared_hinge", update)


def main() -> None:
    """Time the grid."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--labels", type=int, default=670_091)
    parser.add_argument("--seconds", type=float, default=0.5, help="for each shape")
    given = parser.parse_args()
    device = torch.device("cuda")
    clock = Clock(device)
    for features in (384, 768):
        for fan_in in (32, 64, 128, 256):
            for batch in (16, 64):
                shape = Shape(given.labels, fan_in, features, batch, "bfloat16")
                problem = draw(shape, device, 1, large_steps=False)
                able = {name: design for name, design in DESIGNS.items() if _takes(design, problem)}
                times = rounds(
                    {name: call(design, problem) for name, design in able.items()}, clock, None, given.seconds
                )
                copied = clock.copied_bytes / times.pop(COPY).median_ms
                best = min(each.median_ms for each in times.values())
                share = bytes_moved("step", "ffi", shape) / best / copied
                found = {name: round(each.median_ms, 4) for name, each in times.items()}
                facts = {"features": features, "fan_in": fan_in, "batch": batch, "ms": found}
                print(json.dumps({**facts, "share_of_copy": round(share, 3)}), flush=True)


def _takes(design: ModuleType, problem: Problem) -> bool:
    return design is step_chunks or step_pass.supports(
        problem.features, SparseLayer(problem.weight, problem.index)
    )


if __name__ == "__main__":
    main()
