"""A tiny model with probabilities, served; and one whose predictions wait for the test."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import xmcpipe
from tests.served import Client, serving
from tests.small_models import write_model


class GatedModel(xmcpipe.Model):
    """Predicts once `gate` is set; `entered` is set when a prediction has begun."""

    def __init__(self, model: xmcpipe.Model) -> None:
        self.__dict__.update(vars(model))
        self.gate, self.entered = threading.Event(), threading.Event()

    def predict(self, *arguments: Any, **named: Any) -> Any:
        self.entered.set()
        assert self.gate.wait(150)
        return super().predict(*arguments, **named)


@pytest.fixture(scope="session")
def served_folder(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_model(tmp_path_factory.mktemp("served") / "model", tiny_encoder)
    path = folder / "model.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({**facts, "recipe": {"train": {"loss": "bce"}}}))
    return folder


@pytest.fixture(scope="session")
def small(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> xmcpipe.Model:
    """A model that does not say with which loss it was trained, so it has no probabilities."""
    folder = write_model(tmp_path_factory.mktemp("small") / "model", tiny_encoder)
    return xmcpipe.load(folder, device="cpu", precision="float32")


@pytest.fixture(scope="session")
def model(served_folder: Path) -> xmcpipe.Model:
    return xmcpipe.load(served_folder, device="cpu", precision="float32")


@pytest.fixture(scope="session")
def port(model: xmcpipe.Model) -> Iterator[int]:
    with serving(model) as port:
        yield port


@pytest.fixture
def client(port: int) -> Iterator[Client]:
    with Client(port) as client:
        yield client


@pytest.fixture
def gated(model: xmcpipe.Model) -> Iterator[GatedModel]:
    gated = GatedModel(model)
    yield gated
    gated.gate.set()
