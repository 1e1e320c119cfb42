"""A small trained model, and documents whose labels follow from their words."""

import random
from pathlib import Path
from typing import NamedTuple

import pytest

import xmcpipe

NAMES = ["editors", "spelling", "games", "music", "network", "printing"]


class Documents(NamedTuple):
    """Texts, and the label names of each."""

    texts: list[str]
    labels: list[list[str]]


def documents(count: int, seed: int) -> Documents:
    """Each label has ten words of its own."""
    chance = random.Random(seed)
    labels = [sorted(chance.sample(NAMES, chance.randint(1, 2))) for _ in range(count)]
    texts = [
        " ".join(f"word{10 * NAMES.index(name) + chance.randrange(10)}" for name in names for _ in range(4))
        for names in labels
    ]
    return Documents(texts, labels)


@pytest.fixture(scope="session")
def train() -> Documents:
    return documents(160, seed=1)


@pytest.fixture(scope="session")
def test() -> Documents:
    return documents(40, seed=2)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifacts of all fits: those of the same texts share all stages but the last."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="session")
def unfitted(tiny_encoder: Path, store: Path) -> xmcpipe.XMCClassifier:
    return xmcpipe.XMCClassifier(
        encoder=str(tiny_encoder), frozen=True, k=4, device="cpu", settings={"predict.k": 4}, store=store
    )


@pytest.fixture(scope="session")
def fitted(unfitted: xmcpipe.XMCClassifier, train: Documents) -> xmcpipe.XMCClassifier:
    from sklearn.base import clone

    fitted: xmcpipe.XMCClassifier = clone(unfitted)
    return fitted.fit(train.texts, train.labels, label_texts={"editors": "programs to edit text"})


@pytest.fixture(scope="session")
def model(fitted: xmcpipe.XMCClassifier) -> xmcpipe.Model:
    return xmcpipe.load(fitted.model_.path, device="cpu", precision="float32")
