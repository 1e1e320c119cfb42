"""Fixtures of the training tests."""

from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.runs import LABELS
from tests.unit.training.shard_files import write_shards
from tests.unit.training.words.runs import write_words


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """64 documents of one label each."""
    rng = np.random.default_rng(0)
    write_shards(
        tmp_path,
        [
            (rng.integers(4, 204, rng.integers(3, 9)).tolist(), [label])
            for label in rng.integers(0, LABELS, 64)
        ],
        num_labels=LABELS,
        rows_per_shard=50,
    )
    return tmp_path


@pytest.fixture
def with_words(tmp_path: Path) -> Path:
    """160 documents of one label each, with words: see `words/runs.py`."""
    folder = tmp_path / "words"
    folder.mkdir()
    write_words(folder)
    return folder
