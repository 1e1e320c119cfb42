"""Label lists from every format give the same; what can't be read says why."""

import gzip
import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import sparse

from xmcpipe.data.label_lists import files as label_files
from xmcpipe.data.label_lists import json_lines as label_json
from xmcpipe.data.label_lists.files import read_label_lists
from xmcpipe.data.label_lists.lists import LabelLists
from xmcpipe.errors import XmcpipeError

ROWS: list[dict[str, Any]] = [
    {"id": "a", "text": "…", "labels": [], "scores": []},
    {"id": "b", "text": "…", "labels": [4, 0], "scores": [0.5, -1.0]},
    {"id": "c", "text": "…", "labels": [2], "scores": [0.0]},
]


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def named_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "labels": [f"n{label}" for label in row["labels"]]} for row in rows]


def as_lists(lists: LabelLists) -> list[list[Any]]:
    values = lists.labels.tolist()
    if lists.names is not None:
        values = [lists.names[value].as_py() for value in values]
    return [values[first:last] for first, last in zip(lists.indptr, lists.indptr[1:], strict=False)]


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
    monkeypatch.setattr(label_json, "BLOCK_BYTES", 100)
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


@pytest.mark.parametrize("with_scores", [True, False])
def test_only_what_can_reach_the_top_is_kept(tmp_path: Path, with_scores: bool) -> None:
    rows: list[dict[str, Any]] = [
        {"labels": [5, 6, 7, 8], "scores": [0.1, 0.9, 0.5, 0.5]},
        {"labels": [1], "scores": [0.3]},
        {"labels": [1, 2, 3], "scores": [3.0, 2.0, 1.0]},
    ]
    if not with_scores:
        rows = [{"labels": row["labels"]} for row in rows]
    lists = read_label_lists(write_parquet(tmp_path / "p.parquet", rows), "predictions", top=2)
    wanted = [[6, 7, 8], [1], [1, 2]] if with_scores else [[5, 6], [1], [1, 2]]  # 7 and 8 tie
    assert as_lists(lists) == wanted


def test_only_what_can_reach_the_top_is_kept_of_names(tmp_path: Path) -> None:
    rows = [{"labels": ["x", "y", "z"], "scores": [1.0, 3.0, 2.0]}, {"labels": ["z"], "scores": [1.0]}]
    lists = read_label_lists(write_parquet(tmp_path / "p.parquet", rows), "predictions", top=1)
    assert as_lists(lists) == [["y"], ["z"]]


NUMBERS = ("uint8", "uint64", "int8", "int64", "float16", "float32", "float64")


@pytest.mark.parametrize(
    ("kind", "suffix"), [("bool", ".npz"), *product(NUMBERS, (".npz", ".parquet"))]
)  # fmt: skip
def test_scores_of_every_type_reach_the_top(tmp_path: Path, kind: str, suffix: str) -> None:
    """Unsorted, with a stored zero: minus an unsigned score is no small number."""
    rows = [[(0, 0), (3, 1), (1, 0)], [(0, 0), (4, 0), (2, 1)], [(5, 1)]]
    if kind not in ("bool", "int8"):
        rows[0] = [(0, 0), (3, 200), (1, 100)]
    labels = [[label for label, _ in row] for row in rows]
    scores = [np.array([score for _, score in row], kind) for row in rows]
    path = tmp_path / f"p{suffix}"
    if suffix == ".npz":
        indptr = np.cumsum([0, *map(len, rows)])
        np.savez(path, data=np.concatenate(scores), indices=np.concatenate(labels), indptr=indptr,
                 shape=(3, 6), format="csr")  # fmt: skip
    else:
        pq.write_table(pa.table({"labels": labels, "scores": [list(row) for row in scores]}), path)
    assert as_lists(read_label_lists(path, "predictions", top=1)) == [[3], [2], [5]]


def test_integer_scores_beyond_a_float64_stay_apart(tmp_path: Path) -> None:
    rows = [{"labels": [1, 2], "scores": [2**60, 2**60 + 1]}]
    lists = read_label_lists(write_parquet(tmp_path / "p.parquet", rows), "predictions", top=1)
    assert as_lists(lists) == [[2]]


def test_values_that_their_column_can_not_hold_are_refused(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"labels": pa.array([[2**63 + 1]], pa.list_(pa.uint64()))}), tmp_path / "a.parquet"
    )
    refused(tmp_path / "a.parquet", "a.parquet", "9223372036854775809")
    table = pa.table({"id": pa.array([b"\xff"]), "labels": pa.array([[1]])})
    pq.write_table(table, tmp_path / "b.parquet")
    refused(tmp_path / "b.parquet", "b.parquet", "UTF8")


def test_lists_of_one_length_are_lists(tmp_path: Path) -> None:
    """As a two-dimensional NumPy array is written."""
    labels = pa.FixedSizeListArray.from_arrays(pa.array([4, 0, 2, 1]), 2)
    scores = pa.FixedSizeListArray.from_arrays(pa.array([0.5, 0.25, 2.0, 1.0]), 2)
    pq.write_table(pa.table({"labels": labels, "scores": scores}), tmp_path / "p.parquet")
    lists = read_label_lists(tmp_path / "p.parquet", "predictions")
    assert as_lists(lists) == [[4, 0], [2, 1]]
    assert lists.scores is not None
    assert lists.scores.tolist() == [0.5, 0.25, 2.0, 1.0]


@pytest.mark.parametrize("role", ["truth", "train", "predictions"])
def test_a_matrix_with_a_value_that_is_no_number_is_refused(tmp_path: Path, role: label_files.Role) -> None:
    matrix = sparse.csr_matrix(([1.0, float("nan")], [0, 1], [0, 0, 2]), shape=(2, 2))
    sparse.save_npz(tmp_path / "y.npz", matrix)
    refused(tmp_path / "y.npz", "y.npz", "row 1", "NaN", role=role)


def test_a_parquet_file_is_read_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrow would keep all that it has read of a file with many row groups."""
    labels = np.random.default_rng(0).integers(0, 2**31, 1 << 20).astype(np.int32)
    column = pa.ListArray.from_arrays(
        pa.array(np.arange(0, (1 << 20) + 1, 16, dtype=np.int32)), pa.array(labels)
    )
    pq.write_table(pa.table({"labels": column}), tmp_path / "t.parquet", row_group_size=1 << 11)
    monkeypatch.setattr(label_files, "ROWS", 1 << 11)
    before, most, rows = pa.total_allocated_bytes(), 0, 0
    for batch in label_files._parquet_batches(tmp_path / "t.parquet", "truth"):
        rows += len(batch)
        most = max(most, pa.total_allocated_bytes() - before)
    assert rows == 1 << 16
    assert most < labels.nbytes / 2


def test_large_ids_keep_their_value(tmp_path: Path) -> None:
    big = 2**40 + 1
    lists = read_label_lists(write_jsonl(tmp_path / "t.jsonl", [{"labels": [big, 1]}]), "truth")
    assert as_lists(lists) == [[big, 1]]


def refused(path: Path, *words: str, role: label_files.Role = "predictions") -> None:
    with pytest.raises(XmcpipeError) as error:
        read_label_lists(path, role)
    for word in words:
        assert word in str(error.value)


def test_columns_that_are_missing_or_wrong_are_named(tmp_path: Path) -> None:
    refused(write_jsonl(tmp_path / "a.jsonl", [{"id": 1, "tags": [1]}]), "'labels'", "'id', 'tags'")
    refused(write_parquet(tmp_path / "a.parquet", [{"id": 1, "tags": [1]}]), "'labels'", "'id', 'tags'")
    refused(write_parquet(tmp_path / "b.parquet", [{"labels": "x y"}]), "'labels' is string", "a list")
    refused(write_jsonl(tmp_path / "b.jsonl", [{"labels": "x y"}]), "line 1", "a list")
    refused(write_jsonl(tmp_path / "c.jsonl", [{"labels": [1]}, {"labels": ["x"]}]), "c.jsonl", "one type")
    refused(write_parquet(tmp_path / "d.parquet", [{"labels": [-1]}]), "-1", "begin at 0")
    refused(write_parquet(tmp_path / "e.parquet", [{"labels": [1], "scores": ["x"]}]), "numbers")
    refused(write_parquet(tmp_path / "f.parquet", [{"labels": [1], "scores": []}]), "row 0", "scores")
    refused(
        write_parquet(tmp_path / "g.parquet", [{"id": None, "labels": [1]}, {"id": 2, "labels": []}]), "no id"
    )
    refused(write_parquet(tmp_path / "h.parquet", [{"labels": [1, None]}]), "null inside")


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_labels_as_floats_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    (write_parquet if suffix == ".parquet" else write_jsonl)(path, [{"labels": [1.0, 2.0]}])
    refused(path, "16,777,216", "integers")


def test_a_score_that_is_no_number_is_refused_with_its_row(tmp_path: Path) -> None:
    rows = [{"labels": [1], "scores": [1.0]}, {"labels": [2, 3], "scores": [1.0, float("nan")]}]
    refused(write_parquet(tmp_path / "p.parquet", rows), "row 1", "NaN")
    matrix = sparse.csr_matrix(([1.0, float("nan")], [0, 1], [0, 1, 2]), shape=(2, 2))
    sparse.save_npz(tmp_path / "p.npz", matrix)
    refused(tmp_path / "p.npz", "row 1", "NaN")


def test_files_that_are_not_what_their_name_says(tmp_path: Path) -> None:
    for name in ("a.parquet", "a.npz", "a.jsonl.gz"):
        (tmp_path / name).write_bytes(b"this is neither\n")
        refused(tmp_path / name, name)
    (tmp_path / "a.jsonl").write_bytes(b'{"labels": [1]}\n{"labels": [1\n')
    refused(tmp_path / "a.jsonl", "a.jsonl", "line 1")
    (tmp_path / "b.jsonl").write_bytes(b"[1]\n")
    refused(tmp_path / "b.jsonl", "line 1", "object")
    write_jsonl(tmp_path / "c.jsonl.gz", [{"labels": [n]} for n in range(1000)])
    cut = (tmp_path / "c.jsonl.gz").read_bytes()[:-50]
    (tmp_path / "c.jsonl.gz").write_bytes(cut)
    refused(tmp_path / "c.jsonl.gz", "can't be read")
    (tmp_path / "x.csv").write_text("labels\n1\n")
    refused(tmp_path / "x.csv", "known", ".parquet")
    refused(tmp_path / "absent.npz", "does not exist", role="train")


def test_pickles_and_other_matrices_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "pickle.npz", format=np.array([{"a": 1}], dtype=object))
    refused(tmp_path / "pickle.npz", "can't be read as a CSR matrix")
    sparse.save_npz(tmp_path / "csc.npz", sparse.eye(3, format="csc"))
    refused(tmp_path / "csc.npz", "csc", "tocsr()")
    np.savez(tmp_path / "dense.npz", x=np.eye(2))
    refused(tmp_path / "dense.npz", "no sparse matrix")


@pytest.mark.parametrize(
    ("key", "value"),
    [("indices", [0, 9]), ("indices", [0, -1]), ("indptr", [0, 2, 1]), ("indptr", [0, 1]), ("shape", [3, 2])],
)
def test_a_matrix_whose_arrays_do_not_fit_is_refused(tmp_path: Path, key: str, value: list[int]) -> None:
    arrays = {"indptr": [0, 1, 2], "indices": [0, 1], "data": [1.0, 1.0], "shape": [2, 2], "format": "csr"}
    np.savez(tmp_path / "m.npz", **{name: np.array(array) for name, array in {**arrays, key: value}.items()})
    refused(tmp_path / "m.npz", "don't fit")


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


def test_a_folder_that_is_no_artifact_and_another_format_version(tmp_path: Path) -> None:
    refused(tmp_path, "no artifact of predictions")
    refused(tmp_path, "no artifact of raw or shards", role="truth")
    table = pa.table({"labels": [[1]]}).replace_schema_metadata({"xmcpipe.predictions": "999"})
    pq.write_table(table, tmp_path / "predictions.parquet")
    refused(tmp_path, "999", "xmcpipe predict")


def test_what_predict_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects of label, text and score are the lists that they say, in any number of blocks."""
    monkeypatch.setattr(label_json, "BLOCK_BYTES", 90)
    plain = named_rows(ROWS)
    printed = [
        {"id": row["id"], "labels": [
            {"label": label, "text": None, "score": score}
            for label, score in zip(row["labels"], row["scores"], strict=True)
        ]}
        for row in plain
    ]  # fmt: skip
    found = read_label_lists(write_jsonl(tmp_path / "printed.jsonl", printed), "predictions")
    wanted = read_label_lists(write_jsonl(tmp_path / "plain.jsonl", plain), "predictions")
    for name in ("ids", "names", "indptr", "labels", "scores"):
        mine, theirs = getattr(found, name), getattr(wanted, name)
        assert np.array_equal(np.asarray(mine), np.asarray(theirs)), name
    assert len(found.labels) == 3


def test_what_pecos_writes_for_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"schema": ["output_item", "score"], "data": [["é, x", 0.5], ["y", 0.25]], "meta_info": "m"},
        {"schema": ["output_item", "score"], "data": []},
        {"schema": ["output_item", "score"], "data": [["y", 2]]},
    ] * 20
    monkeypatch.setattr(label_json, "BLOCK_BYTES", 500)
    lists = read_label_lists(write_jsonl(tmp_path / "out.jsonl", rows), "predictions")
    assert as_lists(lists) == [["é, x", "y"], [], ["y"]] * 20
    assert lists.scores is not None
    assert lists.scores.tolist() == [0.5, 0.25, 2.0] * 20
    for broken in ([["x"]], [["x", "y"]], 3):
        path = write_jsonl(tmp_path / "bad.jsonl", [{"data": [["x", 1.0]]}, {"data": broken}])
        refused(path, "bad.jsonl, rows counted from line 1", '"data": [[label, score], …]')


def test_what_pecos_writes_for_matrices(tmp_path: Path) -> None:
    """Unsigned indices, rows best first and not by index."""
    arrays = {"indptr": np.array([0, 2, 3], np.uint64), "indices": np.array([4, 1, 2], np.uint64)}
    arrays |= {"data": np.array([0.9, 0.8, 0.1], np.float32), "shape": np.array([2, 5])}
    np.savez(tmp_path / "P.npz", format=np.array(b"csr"), **arrays)
    lists = read_label_lists(tmp_path / "P.npz", "predictions")
    assert as_lists(lists) == [[4, 1], [2]]
    assert lists.labels.dtype.kind == "i"
