"""Fixtures of the tests of `tokenize`."""

from pathlib import Path

import pytest

from tests.unit.stages.tokenize.world import make_encoder


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """The folder of a small encoder with a word-level tokenizer."""
    return make_encoder(tmp_path / "encoder")
