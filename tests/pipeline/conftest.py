"""A tiny recipe on the synthetic dataset, run once for all tests."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.encoders import write_encoder
from tests.pipeline.places import Workplace

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


def vocabulary(store: Path) -> Sequence[str]:
    """Every word of the raw artifact in `store`."""
    import pyarrow.parquet as pq

    texts = [
        text
        for path in store.glob("raw/*/t*.parquet")
        for text in pq.read_table(path, columns=["text"])["text"].to_pylist()
    ]
    return sorted({word for text in texts for word in text.split()})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one worker of a parallel run have all tests that need the finished recipe: it is made once."""
    for item in items:
        if "finished" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("finished"))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """The tiny recipe, run to the end once. Tests that change the store use `workplace`, a copy."""
    place = Workplace(tmp_path_factory.mktemp("finished"))
    encoder = place.folder / "encoder"
    (place.folder / "tiny.toml").write_text(RECIPE.format(encoder=encoder))
    place.run("--to", "download")
    write_encoder(encoder, vocabulary(place.store))
    place.run()
    return place


@pytest.fixture
def workplace(finished: Workplace, tmp_path: Path) -> Workplace:
    """A copy of the finished workplace, for tests that change it."""
    import shutil

    shutil.copytree(finished.store, tmp_path / "artifacts")
    shutil.copyfile(finished.folder / "tiny.toml", tmp_path / "tiny.toml")
    return Workplace(tmp_path)
