"""A training step beside busy neighbours, with OpenMP threads that spin or sleep while they wait.

    python -m tests.bench.robust.busy_core --out results/speed/busy-core.json

Each row is a process of its own, since OpenMP reads its settings once; the rows take turns, and each time is
the median over the rounds. `allowed` is the step of one thread per core that no neighbour needs, with nothing
else on the machine: what the free share of the machine allows.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from xmcpipe.machine.cores import THREADS, WAITING, usable_cores

WAYS = {
    "spinning (OpenMP's default)": {},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "short spins": {"GOMP_SPINCOUNT": "10000"},
}
SPIN = "while True: pass"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, help="JSON file to write.")
    parser.add_argument("--steps", type=int, default=4, help="Steps per process; one more is not counted.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--busy", type=int, default=1, help="Number of cores that neighbours need.")
    parser.add_argument("--time-steps", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.time_steps:
        print(json.dumps(time_steps(options.steps)))
        return
    result = compare(options.steps, options.rounds, options.busy)
    print(json.dumps(result, indent=2))
    if options.out is not None:
        options.out.write_text(json.dumps(result, indent=2) + "\n")


def compare(steps: int, rounds: int, busy: int) -> dict[str, Any]:
    """Median seconds of a step for each way to wait, alone and beside `busy` neighbours."""
    cores = usable_cores()
    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        measure(times, "allowed", {}, max(1, cores - busy), steps)
        for name, environment in WAYS.items():
            measure(times, f"{name}, alone", environment, cores, steps)
        neighbours = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(busy)]
        try:
            measure(times, "one thread fewer, busy", WAYS["passive"], max(1, cores - busy), steps)
            for name, environment in WAYS.items():
                measure(times, f"{name}, busy", environment, cores, steps)
        finally:
            for neighbour in neighbours:
                neighbour.kill()
                neighbour.wait()
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratios = {name: round(seconds / medians["allowed"], 2) for name, seconds in medians.items()}
    return {"cores": cores, "busy": busy, "seconds": medians, "of allowed": ratios}


def measure(
    times: dict[str, list[float]], name: str, environment: dict[str, str], threads: int, steps: int
) -> None:
    """Add the seconds of the steps of one process to `times`."""
    kept = {key: value for key, value in os.environ.items() if key not in WAITING}
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.robust.busy_core", "--time-steps", "--steps", str(steps)],
        env={**kept, **environment, THREADS: str(threads)},
        check=True,
        capture_output=True,
        text=True,
    )
    times.setdefault(name, []).extend(json.loads(done.stdout))


def time_steps(steps: int) -> list[float]:
    """Seconds of each step of an encoder of MiniLM's size on 32 texts of 64 tokens, after a first one."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=1000,
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        max_position_embeddings=64,
    )
    model, tokens = BertModel(config), torch.randint(1000, (32, 64))
    optimizer, times = torch.optim.AdamW(model.parameters()), []
    for _ in range(steps + 1):
        begin = time.perf_counter()
        optimizer.zero_grad()
        model(input_ids=tokens).last_hidden_state.square().mean().backward()
        optimizer.step()
        times.append(time.perf_counter() - begin)
    return times[1:]


if __name__ == "__main__":
    main()
