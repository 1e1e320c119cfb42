"""A small whole pipeline to end in all ways, and the store of a run that nobody ended."""

import random
import shutil
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.encoders import write_encoder
from tests.pipeline.forks import Fork
from tests.pipeline.kills.stores import contents, leftovers
from tests.pipeline.places import Workplace

RECIPE = """
name = "small"
seed = 1
[download]
dataset = "synthetic"
documents = 500
labels = 40
[tokenize]
encoder = "{encoder}"
max_length = 32
rows_per_shard = 200
[cluster]
num_clusters = 4
[train]
epochs = 3
batch_size = 32
loss = "bce"
warmup_steps = 5
precision = "float32"
validation = 0.1
log_every = 1
[train.encoder]
pooling = "mean"
lr = 3e-3
[train.head]
fan_in = 8
[train.rewire]
interval = 7
[train.auxiliary]
weight = 0.4
cutoff_epoch = 1.5
[predict]
[eval]
"""
KINDS = {
    "download": "raw", "tokenize": "shards", "cluster": "clusters", "train": "model",
    "predict": "predictions", "eval": "metrics",
}  # fmt: skip
RUN = ("run", "small.toml", "--json")
PATIENCE = 900.0  # seconds for a run


@dataclass(frozen=True)
class World:
    """`folder` has the recipe; `expected` is what a run leaves that nobody ended, in `seconds`."""

    folder: Path
    expected: dict[str, Any]
    seconds: float

    @staticmethod
    def make(folder: Path) -> "World":
        """Write recipe and encoder, and run the pipeline once."""
        from xmcpipe.data.sources import synthetic

        batches = synthetic.documents(500, 40, 1)
        words = sorted({word for batch in batches for text in batch["text"] for word in text.split()})
        write_encoder(folder / "encoder", words[:3000])
        (folder / "small.toml").write_text(RECIPE.format(encoder=folder / "encoder"))
        place = Workplace(folder)
        place.call("status", "small.toml")  # starts the process to fork from
        begin = time.monotonic()
        done = place.start(*RUN).finish(PATIENCE)
        seconds = time.monotonic() - begin
        assert done.returncode == 0, done.stderr
        world = World(folder, contents(place.store), seconds)
        shutil.rmtree(place.store)
        return world

    def place(self, name: str) -> Workplace:
        """A new folder with the same recipe and an empty store."""
        folder = self.folder / name
        folder.mkdir()
        shutil.copyfile(self.folder / "small.toml", folder / "small.toml")
        return Workplace(folder)

    def faults(self, store: Path) -> list[str]:
        """How a finished store differs from the expected one, and what is left behind."""
        found = contents(store)
        differing = [name for name in {*found, *self.expected} if found.get(name) != self.expected.get(name)]
        return [f"{name} differs" for name in sorted(differing)] + [
            f"{name} is left" for name in leftovers(store)
        ]


def finish(world: World, place: Workplace, arguments: Sequence[str] = RUN) -> list[str]:
    """Run to the end; returns the faults of the end and of the store, which is then removed."""
    done = place.start(*arguments).finish(PATIENCE)
    faults = [] if done.returncode == 0 else [f"exit {done.returncode}: {done.stderr[-500:]}"]
    # A killed process can't remove its folder; the next one at the same work does, or gc.
    place.call("gc", "--yes")
    faults += world.faults(place.store)
    if not faults:
        shutil.rmtree(place.folder)
    return faults


def kill_at(process: Fork, seconds: float) -> bool:
    """Kill a process after some seconds; whether it still ran then."""
    time.sleep(seconds)
    running = process.is_running
    if running:
        process.send(signal.SIGKILL)
    process.finish(PATIENCE)
    return running


def moments(rng: random.Random, count: int, seconds: float) -> list[float]:
    """Moments within a run of some seconds."""
    return [rng.uniform(0.0, seconds) for _ in range(count)]
