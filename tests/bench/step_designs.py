"""The two designs of the fused step on a GPU, one against the other: `python -m tests.bench.step_designs`.

One pass over the labels, and chunks of labels by three kernels (kernels/README.md), over a grid of D, K and
B; both make the same training step, in turns, with cold caches. Where they meet is where
`xmcpipe/ops/cuda/step.py` should change over. Prints a line of JSON for each shape: milliseconds of both, and
the share of a measured copy's bandwidth that the faster one reaches.
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
from xmcpipe.ops.cuda import step_chunks as step_chunks_cuda
from xmcpipe.ops.cuda import step_pass as step_pass_cuda
from xmcpipe.ops.step_torch import Update

LABEL_CHUNK = 32_768
DESIGNS = {"one pass": step_pass_cuda, "chunks": step_chunks_cuda}


def call(design: ModuleType, problem: Problem) -> Callable[[], object]:
    """A step by a design."""
    numbers = torch.tensor([problem.scale, problem.rate], device=problem.device)
    count = torch.ones((), dtype=torch.int64, device=problem.device)
    update = Update(*numbers.unbind(), count, WEIGHT_DECAY, 0.0, 7, 0, LABEL_CHUNK)
    positives = (problem.positive_rows, problem.positive_labels)
    weight = problem.weight.clone()
    return lambda: design.step_(
        problem.features, weight, problem.index, None, None, positives, "squared_hinge", update
    )


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
    return design is step_chunks_cuda or step_pass_cuda.takes(problem.features, problem.weight)


if __name__ == "__main__":
    main()
