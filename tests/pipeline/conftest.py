"""A tiny recipe over the synthetic set, and the command line as users run it."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from encoders import write_encoder

RECIPE = """
name = "tiny"
seed = 1

[download]
dataset = "synthetic"
documents = 1200
labels = 60

[tokenize]
encoder = "{encoder}"
max_length = 48

[cluster]
num_clusters = 8

[train]
epochs = 6
batch_size = 32
loss = "bce"
warmup_steps = 10
precision = "float32"
validation = 0.1
log_every = 5

[train.encoder]
pooling = "mean"
dropout = 0.1
lr = 3e-3

[train.head]
fan_in = 8
bias = true
bias_init = "prior"
lr = 0.03

[train.rewire]
interval = 15
fraction = 0.2

[train.auxiliary]
weight = 0.4
cutoff_epoch = 1.5

[predict]
k = 5

[eval]
"""


@dataclass(frozen=True)
class Workplace:
    """A recipe and a store in a folder of their own."""

    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "artifacts"

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "xmcpipe", *arguments]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "XMCPIPE_STORE": str(self.store), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}

    def call(self, *arguments: str, code: int = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run `xmcpipe ARGUMENTS` in the folder; the test fails unless it ends with `code`."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def run(self, *arguments: str) -> dict[str, Any]:
        """`xmcpipe run tiny.toml --json ARGUMENTS`."""
        result: dict[str, Any] = json.loads(self.call("run", "tiny.toml", "--json", *arguments).stdout)
        return result


def vocabulary(store: Path) -> Sequence[str]:
    """Every word of the raw artifact in `store`."""
    import pyarrow.parquet as pq

    texts = [
        text
        for path in store.glob("raw/*/t*.parquet")
        for text in pq.read_table(path, columns=["text"])["text"].to_pylist()
    ]
    return sorted({word for text in texts for word in text.split()})


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """The tiny recipe run to the end once; tests that change the store copy it first."""
    place = Workplace(tmp_path_factory.mktemp("finished"))
    encoder = place.folder / "encoder"
    (place.folder / "tiny.toml").write_text(RECIPE.format(encoder=encoder))
    place.run("--to", "download")
    write_encoder(encoder, vocabulary(place.store))
    place.run()
    return place


@pytest.fixture
def workplace(finished: Workplace, tmp_path: Path) -> Workplace:
    """A copy of the finished one, to be changed."""
    import shutil

    shutil.copytree(finished.store, tmp_path / "artifacts")
    shutil.copyfile(finished.folder / "tiny.toml", tmp_path / "tiny.toml")
    return Workplace(tmp_path)
