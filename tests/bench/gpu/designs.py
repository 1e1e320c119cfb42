"""Times the designs of the fused step on a GPU, in turns: `python -m tests.bench.gpu.designs`.

One pass over the labels by blocks, by warpgroups (wgmma) on sm_90 or, with --clusters, by clusters of blocks
too, and chunks of labels by three kernels (kernels/README.md), over a grid of D, K and B; all take the same
training step, in turns, with cold caches, and only if its results agree. Where the times of one pass and of
chunks meet is the right value of `MAX_PASS_RATIO` in `ops/cuda/pass_geometry.py`. If clusters are faster than
chunks at B 128 and 512, `CLUSTERS` there should be True, and `WARPGROUPS` if warpgroups are faster than one
pass at B 64 and than the others at B 128. Prints a line of JSON for each shape: milliseconds of each, and the
bandwidth of the fastest one as a fraction of a measured copy's.
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
from xmcpipe.ops.cuda.geometry import LayerShape, card_of
from xmcpipe.ops.cuda.pass_geometry import cluster_geometries, pass_geometries, warpgroup_geometries
from xmcpipe.ops.layer import Positives, SparseLayer, Update

LABEL_CHUNK = 32_768
Step = Callable[[], tuple[Tensor, Tensor]]
CHUNKS, CLUSTERS, GEOMETRIES = (
    "chunks",
    "clusters",
    {"one pass": pass_geometries, "warpgroups": warpgroup_geometries, "clusters": cluster_geometries},
)
# (features, rows of the batch, fan-in), the paper's shapes first.
GRID = tuple(product((768, 384), (64, 16), (128, 64, 32, 256)))
CLUSTER_GRID = (
    *((768, rows, 128) for rows in (128, 512, 64)),
    (768, 128, 256),
    (768, 128, 64),
    (384, 128, 64),
)
LOSS_ERROR, GRADIENT_ERROR = 1e-4, 2.0**-7  # relative; one pass rounds gradients to 16 bits


def main() -> None:
    """Time the grid, the paper's shapes first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--labels", type=int, default=670_091)
    parser.add_argument("--seconds", type=float, default=0.5, help="for each shape")
    parser.add_argument(
        "--clusters", action="store_true", help="time clusters of blocks too, at larger batches"
    )
    given = parser.parse_args()
    clock = Clock(torch.device("cuda"))
    for features, batch, fan_in in CLUSTER_GRID if given.clusters else GRID:
        shape = Shape(given.labels, fan_in, features, batch, "bfloat16")
        print(json.dumps(measure(shape, clock, given.seconds, given.clusters)), flush=True)


def measure(shape: Shape, clock: Clock, seconds: float, clusters: bool) -> dict[str, Any]:
    """The row of a shape; `wrong` has the designs whose results differ from those of chunks."""
    problem = draw(shape, clock.device, 1, large_steps=False)
    designs = {name: call for name, call in calls(problem).items() if clusters or name != CLUSTERS}
    wrong = wrong_designs(designs)
    times = rounds({name: designs[name] for name in designs if name not in wrong}, clock, None, seconds)
    copied = clock.copied_bytes / times.pop(COPY).median_ms
    best = min(each.median_ms for each in times.values())
    sizes = {"labels": shape.labels, "features": shape.features, "fan_in": shape.fan_in, "batch": shape.batch}
    found = {name: round(each.median_ms, 4) for name, each in times.items()}
    share = bytes_moved("step", "ffi", shape) / best / copied
    return {**sizes, "ms": found, "share_of_copy": round(share, 3), "wrong": wrong}


def wrong_designs(designs: dict[str, Step]) -> list[str]:
    """The designs whose loss or dX is not that of the chunks, after a call of each."""
    results = {name: call() for name, call in designs.items()}
    loss, grad_BD = results[CHUNKS]
    wrong = []
    for name, (its_loss, its_BD) in results.items():
        right = abs(float(its_loss - loss)) <= LOSS_ERROR * abs(float(loss))
        if not (right and float((its_BD - grad_BD).norm()) <= GRADIENT_ERROR * float(grad_BD.norm())):
            wrong.append(name)
    return wrong


def calls(problem: Problem) -> dict[str, Step]:
    """A function for each design that can take the step, which takes it on weights of its own."""
    scale, rate = torch.tensor([problem.scale, problem.rate], device=problem.device).unbind()
    step = torch.ones((), dtype=torch.int64, device=problem.device)
    update = Update(scale, rate, step, WEIGHT_DECAY, 0.0, seed=7, first_label=0, label_chunk=LABEL_CHUNK)
    positives = Positives(problem.positive_rows, problem.positive_labels)
    found: dict[str, Step] = {}
    for name in (*GEOMETRIES, CHUNKS):
        layer = SparseLayer(problem.weight.clone(), problem.index)
        operands = (problem.features, layer)
        if name == CHUNKS:
            found[name] = partial(
                step_chunks.step_, *operands, positives, "squared_hinge", update, words=None
            )
            continue
        shape, card = LayerShape.of(problem.features, layer), card_of(problem.device)
        if (geometry := next(GEOMETRIES[name](shape, card), None)) is not None:
            found[name] = partial(step_pass.step_, *operands, geometry, positives, "squared_hinge", update)
    return found


if __name__ == "__main__":
    main()
