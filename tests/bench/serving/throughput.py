"""Requests a second and times of answers of `xmcpipe serve`, relative to the model without a service.

    python -m tests.bench.serving.throughput artifacts/model/0123456789abcdef --seconds 20

The service is the real command in a process of its own. Clients are threads of this process; each sends one
text after another on a connection that stays open. The floor is `Model.predict` in this process, on the same
texts and cores: one text at a time for the time of an answer, and 64 at a time for requests a second. Floor
and service take turns, so that other work on the machine slows both, and both compute in one thread: two wait
for each other where the cores are busy. Prints JSON.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

import xmcpipe
from tests.bench.prediction.throughput import generated
from tests.served import Client

CLIENTS = (1, 8, 64)
TOGETHER = 64  # texts of a call of the floor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", type=Path)
    parser.add_argument("--seconds", type=float, default=20, help="of each measurement, in all rounds")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--words", type=int, nargs=2, default=[3, 24], help="shortest and longest text")
    options = parser.parse_args()
    texts = [text for block in generated(options) for text in block]
    seconds = options.seconds / options.rounds
    torch.set_num_threads(1)
    rounds = []
    with served(options.model) as port:
        model = xmcpipe.load(options.model, device="cpu")
        measured(model, port, texts, 1.0)  # warms up
        for _ in range(options.rounds):
            rounds.append(measured(model, port, texts, seconds))
    print(json.dumps({"clients": summary(rounds), "rounds": rounds}, indent=2))


@contextmanager
def served(folder: Path) -> Iterator[int]:
    """The command `serve`; yields its port."""
    command = [sys.executable, "-m", "xmcpipe", "serve", str(folder), "--port", "0", "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        found = re.search(r":(\d+);", process.stdout.readline())
        assert found, "the service has not started"
        yield int(found[1])
        process.terminate()
        process.communicate()


def measured(model: xmcpipe.Model, port: int, texts: list[str], seconds: float) -> dict[str, Any]:
    """One round: times of the floor and of each number of clients, in milliseconds."""
    single = floor(model, texts, seconds, 1)
    together = floor(model, texts, seconds, TOGETHER)
    facts: dict[str, Any] = {
        "floor_p50_ms": 1000 * statistics.median(single),
        "floor_texts_per_second": TOGETHER * len(together) / sum(together),
    }
    for clients in CLIENTS:
        taken, elapsed = load(port, texts, clients, seconds)
        facts[str(clients)] = {
            "requests_per_second": len(taken) / elapsed,
            "p50_ms": 1000 * float(np.percentile(taken, 50)),
            "p99_ms": 1000 * float(np.percentile(taken, 99)),
        }
    return facts


def floor(model: xmcpipe.Model, texts: list[str], seconds: float, size: int) -> list[float]:
    """The times of calls of Model.predict with `size` texts."""
    taken: list[float] = []
    begin = 0
    while sum(taken) < seconds:
        part = [texts[(begin + place) % len(texts)] for place in range(size)]
        started = time.monotonic()
        model.predict(part)
        taken.append(time.monotonic() - started)
        begin += size
    return taken


def load(port: int, texts: list[str], clients: int, seconds: float) -> tuple[list[float], float]:
    """The times of all answers to `clients` threads, and the seconds that they took together."""
    barrier = threading.Barrier(clients)

    def ask(number: int) -> list[float]:
        taken, place = [], number
        with Client(port) as client:
            barrier.wait()
            end = time.monotonic() + seconds
            while (started := time.monotonic()) < end:
                answer = client.predict(text=texts[place % len(texts)])
                assert answer.status == 200, answer.value
                assert len(answer.value["labels"]) == 5
                taken.append(time.monotonic() - started)
                place += clients
        return taken

    started = time.monotonic()
    with ThreadPoolExecutor(clients) as threads:
        taken = [each for own in threads.map(ask, range(clients)) for each in own]
    return taken, time.monotonic() - started


def summary(rounds: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Medians over the rounds: figures, and their ratios to the floor of the same round."""
    found = {}
    for clients in map(str, CLIENTS):
        figures = {
            name: statistics.median(each[clients][name] for each in rounds)
            for name in ("requests_per_second", "p50_ms", "p99_ms")
        }
        figures["throughput_of_floor"] = statistics.median(
            each[clients]["requests_per_second"] / each["floor_texts_per_second"] for each in rounds
        )
        figures["p50_of_floor"] = statistics.median(
            each[clients]["p50_ms"] / each["floor_p50_ms"] for each in rounds
        )
        found[clients] = {name: round(value, 3) for name, value in figures.items()}
    return found


if __name__ == "__main__":
    main()
