"""Files that can't be read as label lists: the error states why."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq
import pytest
from scipy import sparse

from tests.unit.data.label_lists.label_files import refused, write_jsonl, write_parquet
from xmcpipe.data.label_lists.files import Role


def test_values_that_their_column_can_not_hold_are_refused(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"labels": pa.array([[2**63 + 1]], pa.list_(pa.uint64()))}), tmp_path / "a.parquet"
    )
    refused(tmp_path / "a.parquet", "a.parquet", "9223372036854775809")
    table = pa.table({"id": pa.array([b"\xff"]), "labels": pa.array([[1]])})
    pq.write_table(table, tmp_path / "b.parquet")
    refused(tmp_path / "b.parquet", "b.parquet", "UTF8")


@pytest.mark.parametrize(
    "line",
    [b'{"id": "caf\xe9", "labels": ["a"]}', b'{"id": "b", "labels": ["caf\xe9"]}'],
    ids=["id", "label"],
)
@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_text_that_is_not_utf_8_is_refused(tmp_path: Path, line: bytes, suffix: str) -> None:
    """In the second row, since the first is read by Python to see what the file is."""
    path = tmp_path / f"a{suffix}"
    lines = b'{"id": "a", "labels": ["a"]}\n' + line + b"\n"
    if suffix == ".jsonl":
        path.write_bytes(lines)
    else:
        pq.write_table(pa.json.read_json(pa.BufferReader(lines)), path)
    refused(path, path.name, "UTF8")


@pytest.mark.parametrize("role", ["truth", "train", "predictions"])
def test_a_matrix_with_a_value_that_is_no_number_is_refused(tmp_path: Path, role: Role) -> None:
    matrix = sparse.csr_matrix(([1.0, float("nan")], [0, 1], [0, 0, 2]), shape=(2, 2))
    sparse.save_npz(tmp_path / "y.npz", matrix)
    refused(tmp_path / "y.npz", "y.npz", "row 1", "NaN", role=role)


def test_columns_that_are_missing_or_wrong_are_named(tmp_path: Path) -> None:
    refused(write_jsonl(tmp_path / "a.jsonl", [{"id": 1, "tags": [1]}]), "'labels'", "'id', 'tags'")
    refused(write_parquet(tmp_path / "a.parquet", [{"id": 1, "tags": [1]}]), "'labels'", "'id', 'tags'")
    refused(
        write_parquet(tmp_path / "b.parquet", [{"labels": "x y"}]),
        "expected lists in column 'labels', got string",
    )
    refused(write_jsonl(tmp_path / "b.jsonl", [{"labels": "x y"}]), "line 1", "a list")
    refused(write_jsonl(tmp_path / "c.jsonl", [{"labels": [1]}, {"labels": ["x"]}]), "c.jsonl", "one type")
    refused(write_parquet(tmp_path / "d.parquet", [{"labels": [-1]}]), "expected label ids from 0, got -1")
    refused(write_parquet(tmp_path / "e.parquet", [{"labels": [1], "scores": ["x"]}]), "numbers")
    refused(write_parquet(tmp_path / "f.parquet", [{"labels": [1], "scores": []}]), "row 0", "scores")
    refused(
        write_parquet(tmp_path / "g.parquet", [{"id": None, "labels": [1]}, {"id": 2, "labels": []}]), "no id"
    )
    refused(write_parquet(tmp_path / "h.parquet", [{"labels": [1, None]}]), "null inside")


@pytest.mark.parametrize("value", [["art"], {"art": 0.9}])
def test_an_object_of_documents_by_id_names_the_way_out(tmp_path: Path, value: Any) -> None:
    rows = {f"d{row}": value for row in range(2000)}
    way_out = """'d7', … (write {"id": KEY, "labels": […]} on a line for each key)"""
    refused(write_jsonl(tmp_path / "a.json", [rows]), way_out)


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


def test_files_whose_content_does_not_match_their_name(tmp_path: Path) -> None:
    for name in ("a.parquet", "a.npz", "a.jsonl.gz"):
        (tmp_path / name).write_bytes(b"this is neither\n")
        refused(tmp_path / name, name)
    (tmp_path / "a.jsonl").write_bytes(b'{"labels": [1]}\n{"labels": [1\n')
    refused(tmp_path / "a.jsonl", "a.jsonl", "line 1")
    (tmp_path / "b.jsonl").write_bytes(b"[1]\n")
    refused(tmp_path / "b.jsonl", "object 1", "expected an object, got int")
    write_jsonl(tmp_path / "c.jsonl.gz", [{"labels": [n]} for n in range(1000)])
    cut = (tmp_path / "c.jsonl.gz").read_bytes()[:-50]
    (tmp_path / "c.jsonl.gz").write_bytes(cut)
    refused(tmp_path / "c.jsonl.gz", "can't be read")
    (tmp_path / "x.xlsx").write_text("labels\n1\n")
    refused(tmp_path / "x.xlsx", "known", ".parquet")
    refused(tmp_path / "absent.npz", "does not exist", role="train")


def test_pickles_and_other_matrices_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "pickle.npz", format=np.array([{"a": 1}], dtype=object))
    refused(tmp_path / "pickle.npz", "can't be read as a sparse matrix")
    sparse.save_npz(tmp_path / "dia.npz", sparse.eye(3, format="dia"))
    refused(tmp_path / "dia.npz", "got one in dia", "tocsr()")
    np.savez(tmp_path / "dense.npz", x=np.eye(2))
    refused(tmp_path / "dense.npz", "got none", ".npy")


@pytest.mark.parametrize(
    ("key", "value"),
    [("indices", [0, 9]), ("indices", [0, -1]), ("indptr", [0, 2, 1]), ("indptr", [0, 1]), ("shape", [3, 2])],
)
def test_a_matrix_whose_arrays_do_not_fit_is_refused(tmp_path: Path, key: str, value: list[int]) -> None:
    arrays = {"indptr": [0, 1, 2], "indices": [0, 1], "data": [1.0, 1.0], "shape": [2, 2], "format": "csr"}
    changed: dict[str, Any] = {name: np.array(array) for name, array in {**arrays, key: value}.items()}
    np.savez(tmp_path / "m.npz", **changed)
    refused(tmp_path / "m.npz", "don't fit")


def test_a_folder_that_is_no_artifact_and_another_format_version(tmp_path: Path) -> None:
    refused(tmp_path, "expected an artifact of predictions")
    refused(tmp_path, "expected an artifact of raw data or shards", role="truth")
    table = pa.table({"labels": [[1]]}).replace_schema_metadata({"xmcpipe.predictions": "999"})
    pq.write_table(table, tmp_path / "predictions.parquet")
    refused(tmp_path, "999", "xmcpipe predict")


@pytest.mark.parametrize("name", ["x.txt", "x.md", "x.csv", "x.yaml"])
@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("| id | labels |\n|----|--------|\n| 0 | art |\n", "a table of Markdown"),
        ("- id: 0\n  labels: [art]\n- id: 1\n  labels: [law]\n", "a file of YAML"),
        ("<table>\n<tr><th>id</th><th>labels</th></tr>\n</table>\n", "a table of HTML"),
        ("TY  - JOUR\nKW  - art\nER  - \n", "a file of records such as RIS"),
    ],
)
def test_text_of_another_kind_is_named(tmp_path: Path, name: str, content: str, what: str) -> None:
    (tmp_path / name).write_text(content)
    refused(tmp_path / name, what)
