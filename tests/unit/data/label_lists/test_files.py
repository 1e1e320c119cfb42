"""Label lists from every format are the same."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import sparse

from tests.unit.data.label_lists.label_files import (
    ROWS,
    as_lists,
    named_rows,
    refused,
    write_jsonl,
    write_parquet,
)
from xmcpipe.data.label_lists import files, json_text
from xmcpipe.data.label_lists.files import read_label_lists


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".jsonl.gz"])
@pytest.mark.parametrize("names", [False, True])
def test_tables_of_ids_and_of_names(tmp_path: Path, suffix: str, names: bool) -> None:
    rows = named_rows(ROWS) if names else ROWS
    path = tmp_path / f"rows{suffix}"
    (write_parquet if suffix == ".parquet" else write_jsonl)(path, rows)
    lists = read_label_lists(path, "predictions")
    assert as_lists(lists) == [row["labels"] for row in rows]
    assert lists.ids is not None
    assert lists.ids.to_pylist() == ["a", "b", "c"]
    assert lists.scores is not None
    assert lists.scores.tolist() == [0.5, -1.0, 0.0]
    assert (lists.names is not None, lists.width) == (names, None)
    assert read_label_lists(path, "truth").scores is None


def test_jsonl_in_many_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"id": n, "labels": [f"é{n % 7}", "z"], "text": "x" * (n % 40)} for n in range(200)]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    path.write_bytes(path.read_bytes().rstrip(b"\n"))  # a last line without newline
    monkeypatch.setattr(json_text, "BLOCK_BYTES", 100)
    lists = read_label_lists(path, "truth")
    assert as_lists(lists) == [row["labels"] for row in rows]
    assert lists.ids is not None
    assert lists.ids.to_pylist() == [str(n) for n in range(200)]


def test_a_matrix_of_predictions_keeps_stored_zeros_and_one_of_truth_does_not(tmp_path: Path) -> None:
    matrix = sparse.csr_matrix(([0.5, 0.0, 2.0], [3, 1, 0], [0, 2, 2, 3]), shape=(3, 9))
    sparse.save_npz(tmp_path / "y.npz", matrix)
    predictions = read_label_lists(tmp_path / "y.npz", "predictions")
    assert as_lists(predictions) == [[3, 1], [], [0]]
    assert predictions.scores is not None
    assert predictions.scores.tolist() == [0.5, 0.0, 2.0]
    truth = read_label_lists(tmp_path / "y.npz", "truth")
    assert as_lists(truth) == [[3], [], [0]]
    assert (truth.width, truth.ids) == (9, None)


def test_lists_of_one_length_are_lists(tmp_path: Path) -> None:
    """Polars and Arrow write a two-dimensional NumPy array with this type."""
    labels = pa.FixedSizeListArray.from_arrays(pa.array([4, 0, 2, 1]), 2)
    scores = pa.FixedSizeListArray.from_arrays(pa.array([0.5, 0.25, 2.0, 1.0]), 2)
    pq.write_table(pa.table({"labels": labels, "scores": scores}), tmp_path / "p.parquet")
    lists = read_label_lists(tmp_path / "p.parquet", "predictions")
    assert as_lists(lists) == [[4, 0], [2, 1]]
    assert lists.scores is not None
    assert lists.scores.tolist() == [0.5, 0.25, 2.0, 1.0]


def test_a_parquet_file_is_read_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise Arrow would hold everything that it has read of a file with many row groups."""
    labels = np.random.default_rng(0).integers(0, 2**31, 1 << 20).astype(np.int32)
    column = pa.ListArray.from_arrays(
        pa.array(np.arange(0, (1 << 20) + 1, 16, dtype=np.int32)), pa.array(labels)
    )
    pq.write_table(pa.table({"labels": column}), tmp_path / "t.parquet", row_group_size=1 << 11)
    monkeypatch.setattr(files, "ROWS", 1 << 11)
    before, most, rows = pa.total_allocated_bytes(), 0, 0
    for batch in files._parquet_batches(tmp_path / "t.parquet", "truth"):
        rows += len(batch)
        most = max(most, pa.total_allocated_bytes() - before)
    assert rows == 1 << 16
    assert most < labels.nbytes / 2


def test_large_ids_keep_their_value(tmp_path: Path) -> None:
    big = 2**40 + 1
    lists = read_label_lists(write_jsonl(tmp_path / "t.jsonl", [{"labels": [big, 1]}]), "truth")
    assert as_lists(lists) == [[big, 1]]


def test_a_table_of_an_artifact_has_its_vocabulary(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"label": ["u", "v", "w"], "text": [None, None, "W"]}), tmp_path / "labels.parquet"
    )
    write_parquet(tmp_path / "test.parquet", [{"id": "a", "text": "", "labels": [2, 0]}])
    folder = read_label_lists(tmp_path, "truth")
    assert (as_lists(folder), folder.width) == ([["w", "u"]], 3)
    assert read_label_lists(tmp_path / "test.parquet", "truth").names is None
    (tmp_path / "manifest.json").write_text("{}")
    assert as_lists(read_label_lists(tmp_path / "test.parquet", "truth")) == [["w", "u"]]


def test_the_output_of_predict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects of label, text and score are read as the lists that they stand for, in any number of blocks."""
    monkeypatch.setattr(json_text, "BLOCK_BYTES", 90)
    plain = named_rows(ROWS)
    printed = [
        {"id": row["id"], "labels": [
            {"label": label, "text": None, "score": score}
            for label, score in zip(row["labels"], row["scores"], strict=True)
        ]}
        for row in plain
    ]  # fmt: skip
    found = read_label_lists(write_jsonl(tmp_path / "printed.jsonl", printed), "predictions")
    expected = read_label_lists(write_jsonl(tmp_path / "plain.jsonl", plain), "predictions")
    for name in ("ids", "names", "indptr", "labels", "scores"):
        mine, theirs = getattr(found, name), getattr(expected, name)
        assert np.array_equal(np.asarray(mine), np.asarray(theirs)), name
    assert len(found.labels) == 3


def test_the_output_of_pecos_for_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[dict[str, Any]] = [
        {"schema": ["output_item", "score"], "data": [["é, x", 0.5], ["y", 0.25]], "meta_info": "m"},
        {"schema": ["output_item", "score"], "data": []},
        {"schema": ["output_item", "score"], "data": [["y", 2]]},
    ] * 20
    monkeypatch.setattr(json_text, "BLOCK_BYTES", 500)
    lists = read_label_lists(write_jsonl(tmp_path / "out.jsonl", rows), "predictions")
    assert as_lists(lists) == [["é, x", "y"], [], ["y"]] * 20
    assert lists.scores is not None
    assert lists.scores.tolist() == [0.5, 0.25, 2.0] * 20
    for broken in ([["x"]], [["x", "y"]], 3):
        path = write_jsonl(tmp_path / "bad.jsonl", [{"data": [["x", 1.0]]}, {"data": broken}])
        refused(path, "bad.jsonl, rows counted from line 1", '"data": [[label, score], …]')


def test_the_output_of_pecos_for_matrices(tmp_path: Path) -> None:
    """Unsigned indices, rows best first and not by index."""
    arrays: dict[str, Any] = {
        "indptr": np.array([0, 2, 3], np.uint64),
        "indices": np.array([4, 1, 2], np.uint64),
    }
    arrays |= {"data": np.array([0.9, 0.8, 0.1], np.float32), "shape": np.array([2, 5])}
    np.savez(tmp_path / "P.npz", format=np.array(b"csr"), **arrays)
    lists = read_label_lists(tmp_path / "P.npz", "predictions")
    assert as_lists(lists) == [[4, 1], [2]]
    assert lists.labels.dtype.kind == "i"
