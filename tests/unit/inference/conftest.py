"""A tiny model, loaded."""

from pathlib import Path

import pytest

from tests.small_models import write_model
from xmcpipe.inference.bundle import Bundle


@pytest.fixture(scope="session")
def model_folder(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("small") / "model", tiny_encoder)


@pytest.fixture(scope="session")
def bundle(model_folder: Path) -> Bundle:
    return Bundle.load(model_folder)
