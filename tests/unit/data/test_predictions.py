"""Predictions are read back as they were written, both as a table and as a matrix."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import sparse

from xmcpipe.data.label_lists.files import read_label_lists
from xmcpipe.data.predictions import PredictionsWriter, write_predictions_npz
from xmcpipe.data.schema import PREDICTIONS


def write(path: Path) -> None:
    with PredictionsWriter(path) as table:
        scores = np.array([[0.5, 0.25], [0.0, -np.inf]], np.float32)
        table.write(pa.array(["a", "b"]), np.array([[4, 1], [2, -1]]), scores)
        table.write(pa.array(["c"]), np.array([[-1, -1]]), np.zeros((1, 2), np.float32))
        assert table.rows == 3


def test_the_table_has_the_schema_and_leaves_paddings_out(tmp_path: Path) -> None:
    write(tmp_path / "predictions.parquet")
    table = pq.read_table(tmp_path / "predictions.parquet")
    assert table.schema.metadata == PREDICTIONS.metadata
    assert table.schema.types == PREDICTIONS.types
    assert table.to_pydict() == {
        "id": ["a", "b", "c"],
        "labels": [[4, 1], [2], []],
        "scores": [[0.5, 0.25], [0.0], []],
    }


def test_the_matrix_equals_the_table_and_keeps_a_score_of_zero(tmp_path: Path) -> None:
    write(tmp_path / "predictions.parquet")
    write_predictions_npz([tmp_path / "predictions.parquet"], tmp_path / "predictions.npz", 6)
    matrix = sparse.load_npz(tmp_path / "predictions.npz")
    assert matrix.shape == (3, 6)
    assert matrix.nnz == 3
    assert matrix.toarray()[0].tolist() == [0, 0.25, 0, 0, 0.5, 0]
    table = read_label_lists(tmp_path / "predictions.parquet", "predictions")
    lists = read_label_lists(tmp_path / "predictions.npz", "predictions")
    assert lists.labels.tolist() == table.labels.tolist()
    assert lists.indptr.tolist() == table.indptr.tolist() == [0, 2, 3, 3]


def test_an_empty_table_is_an_empty_matrix(tmp_path: Path) -> None:
    with PredictionsWriter(tmp_path / "p.parquet"):
        pass
    write_predictions_npz([tmp_path / "p.parquet"], tmp_path / "p.npz", 6)
    assert sparse.load_npz(tmp_path / "p.npz").shape == (0, 6)
