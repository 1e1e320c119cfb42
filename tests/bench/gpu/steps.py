"""Times the fused step, plain and for groups, next to a dense layer's: `python -m tests.bench.gpu.steps`.

Labels of the plain layer read features of their own, those of the other one share them in groups of GROUP;
everything else is the same. Each implementation is first checked against float64. Then its step is timed in
three ways, in turns: called, with cold caches; the host's part of that call, until all its kernels are
queued; and, on a GPU, replayed from a CUDA graph, which needs no Python. Prints a line of JSON for each
shape: milliseconds, how many times faster than dense, and the floors, the time to move the bytes of either
layer at the speed of a measured copy.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from xmcpipe.benchmark.compare import TIMED, WRONG, ImplementationResult, validate
from xmcpipe.benchmark.grid import Shape
from xmcpipe.benchmark.implementations import IMPLEMENTATIONS, Implementation
from xmcpipe.benchmark.problem import draw
from xmcpipe.benchmark.timing import COPY, Clock, rounds
from xmcpipe.benchmark.traffic import bytes_moved

KINDS = [kind for kind in IMPLEMENTATIONS if kind.ours or kind.name == "dense"]
SIZES, SMALL = ((670_091, 131_073), (64, 128, 512, 32), 128), ((1024, 512), (16, 8), 32)
GROUP = 16
HOST_CALLS = 5
Call = Callable[[], object]


def main() -> int:
    """Time all shapes, the most important first; returns 1 if a result was wrong, or a shape failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--small", action="store_true", help="sizes for a CPU")
    parser.add_argument("--seconds", type=float, default=0.5, help="for each shape")
    given = parser.parse_args()
    device = torch.device("cpu" if given.small else "cuda")
    clock, (labels, batches, fan_in) = Clock(device), SMALL if given.small else SIZES
    failed = False
    for number, (batch, count) in enumerate((batch, count) for batch in batches for count in labels):
        features = 256 if given.small else 768
        shape = Shape(count, fan_in, features, batch, "bfloat16")
        try:
            row = measure(shape, clock, number + 1, given.seconds)
        except Exception as error:  # whatever it is, the other shapes may still work
            failed, reason = True, str(error).partition("\n")[0]
            row = {"floor_ms": 0.0, "grouped_floor_ms": 0.0, "ms": {}, "notes": {"all": f"failed: {reason}"}}
        failed |= any(note.startswith(WRONG) for note in row["notes"].values())
        print(json.dumps({**sizes_of(shape), **row}), flush=True)
    return int(failed)


def sizes_of(shape: Shape) -> dict[str, int]:
    """What tells rows apart."""
    return {"labels": shape.labels, "features": shape.features, "fan_in": shape.fan_in, "batch": shape.batch}


def measure(shape: Shape, clock: Clock, seed: int, seconds: float) -> dict[str, Any]:
    """The figures of a shape."""
    device, grouped = clock.device, replace(shape, group=GROUP)
    checked: list[ImplementationResult] = []
    layers: dict[str, Implementation] = {}
    for of in (shape, grouped):
        kinds = [kind for kind in KINDS if kind.grouped == (of is grouped)]
        checked += validate(draw(of, device, 2 * seed, large_steps=True), "step", seed, kinds)
        problem = draw(of, device, 2 * seed + 1, large_steps=False)
        layers |= {kind.name: kind(problem) for kind in kinds}
    right = {result.implementation for result in checked if result.state == TIMED}
    notes, calls, hosts = _notes(checked), {}, {}
    for kind in KINDS:
        if kind.name in right:
            step = _step(layers[kind.name])
            hosts[kind.name] = _host_milliseconds(step, device)  # also warms up: a first call compiles
            calls[f"{kind.name} eager"] = step
            if device.type == "cuda":
                try:
                    calls[f"{kind.name} graph"] = _captured(step)
                except RuntimeError as error:
                    notes[kind.name] = f"no graph: {str(error).splitlines()[0]}"
    times = {name: each.median_ms for name, each in rounds(calls, clock, None, seconds).items()}
    copied = clock.copied_bytes / times.pop(COPY)
    floors = {"floor_ms": bytes_moved("step", "ffi", shape) / copied}
    floors["grouped_floor_ms"] = bytes_moved("step", "grouped", grouped) / copied
    ms = {name: _times(name, times, host) for name, host in hosts.items()}
    return {**floors, "group": GROUP, "copy_gb_per_second": copied / 1e6, "ms": ms, "notes": notes}


def _step(layer: Implementation) -> Call:
    return layer.call("step")


def _notes(checked: list[ImplementationResult]) -> dict[str, str]:
    return {each.implementation: f"{each.state}: {each.note}" for each in checked if each.state != TIMED}


def _times(name: str, times: dict[str, float], host: float) -> dict[str, float | None]:
    """Milliseconds of an implementation, and dense / it, of replays if both have one."""
    way = "graph" if {f"{name} graph", "dense graph"} <= times.keys() else "eager"
    dense, own = times.get(f"dense {way}"), times[f"{name} {way}"]
    faster = None if dense is None else dense / own
    graph = times.get(f"{name} graph")
    return {"graph": graph, "eager": times[f"{name} eager"], "host": host, "faster": faster}


def _host_milliseconds(call: Call, device: torch.device) -> float:
    """The median time until a call returns, with an idle device."""
    call()
    times = []
    for _ in range(HOST_CALLS):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        begin = time.perf_counter()
        call()
        times.append(1000.0 * (time.perf_counter() - begin))
    return statistics.median(times)


def _captured(call: Call) -> Call:
    """A replay of the call's kernels. Raises RuntimeError if a graph can't hold them."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


if __name__ == "__main__":
    sys.exit(main())
