"""A calibration is read as it was written; a damaged or strange one is refused in one line."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xmcpipe.calibration.files import FACTS, TABLE, has_calibration
from xmcpipe.calibration.maps import Curve, FrequencyMaps, Sigmoid
from xmcpipe.calibration.saved import Calibration, read_calibration
from xmcpipe.calibration.thresholds import Threshold
from xmcpipe.errors import XmcpipeError

LABELS = 5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    maps = FrequencyMaps((7, 0), (Sigmoid(0.5, -1.0), Curve(np.array([-1.0, 2.0]), np.array([0.1, 0.9]))))
    places, thresholds = np.array([0, 1, 1, 0, 1], np.int8), np.linspace(0.1, 0.9, LABELS, dtype=np.float32)
    Calibration(
        maps, places, Threshold(0.3, 0.6), thresholds, {"method": "isotonic", "candidates": 20}
    ).write(tmp_path)
    return tmp_path


def test_what_was_written_is_read(folder: Path) -> None:
    assert has_calibration(folder)
    found = read_calibration(folder, LABELS)
    assert (found.f1, found.facts["method"]) == (Threshold(0.3, 0.6), "isotonic")
    labels, scores = np.array([[0, 1], [4, -1]], np.int32), np.array([[2.0, 0.5], [9.0, 0.0]], np.float32)
    values = found.probabilities(labels, scores)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values[:, 0], [0.5, 0.9])
    assert values[0, 1] == pytest.approx(0.5)


def change(folder: Path, keys: dict[str, Any]) -> None:
    table = json.loads((folder / FACTS).read_text())
    (folder / FACTS).write_text(json.dumps({**table, **keys}))


def write(folder: Path, places: Any, thresholds: Any) -> None:
    columns = {"range": pa.array(places, pa.int8()), "threshold": pa.array(thresholds, pa.float32())}
    pq.write_table(pa.table(columns), folder / TABLE)


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


FIVE = [0.5] * LABELS


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / FACTS).write_text("{"), "can't be read|that can be read"),
        (lambda folder: (folder / FACTS).unlink(), "no calibration that can be read"),
        (lambda folder: (folder / TABLE).unlink(), "can't be read"),
        (lambda folder: make_pipe(folder / TABLE), "calibration.parquet is missing or not an ordinary file"),
        (lambda folder: change(folder, {"order": {"more": float("inf")}}), "not JSON compliant"),
        (lambda folder: (folder / TABLE).write_bytes(b"PAR1"), "can't be read"),
        (lambda folder: change(folder, {"version": 9}), "format 1, got 9"),
        (lambda folder: change(folder, {"candidates": 0}), "expected a number of candidates, got 0"),
        (lambda folder: change(folder, {"candidates": "all"}), "expected a number of candidates, got 'all'"),
        (lambda folder: change(folder, {"ranges": []}), "ranges of training documents"),
        (lambda folder: change(folder, {"ranges": [{"least": 0}]}), "can't be read"),
        (lambda folder: change(folder, {"ranges": 3}), "can't be read"),
        (lambda folder: change(folder, {"f1": {"value": 2.0, "f1": 0.1}}), "between 0 and 1"),
        (lambda folder: change(folder, {"f1": 0.5}), "can't be read"),
        (lambda folder: change(folder, {"f1": {"value": "x", "f1": 0.1}}), "can't be read"),
        (lambda folder: change(folder, {"ranges": [{"least": 0, "function": {"slope": 10**400}}]}), "read"),
        (lambda folder: write(folder, [0] * 4, [0.5] * 4), "expected 5 labels, as the model has, got 4"),
        (lambda folder: write(folder, [0, 1, 2, 0, 0], FIVE), "ranges from 0 to 1"),
        (lambda folder: write(folder, [0, -1, 1, 0, 0], FIVE), "ranges from 0 to 1"),
        (lambda folder: write(folder, [0] * 5, [0.5, 0.5, 0.5, 0.5, float("nan")]), "between 0 and 1"),
        (lambda folder: write(folder, [0] * 5, [0.5, 0.5, 0.5, 0.5, None]), "missing"),
    ],
)
def test_a_damaged_calibration_is_refused(folder: Path, damage: Any, message: str) -> None:
    damage(folder)
    with pytest.raises(XmcpipeError, match=message):
        read_calibration(folder, LABELS)
