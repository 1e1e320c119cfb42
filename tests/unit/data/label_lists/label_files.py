"""Writes label lists to files and reads them back, for the tests in this folder."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xmcpipe.data.label_lists.files import Role, read_label_lists
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


def refused(path: Path, *words: str, role: Role = "predictions") -> None:
    with pytest.raises(XmcpipeError) as error:
        read_label_lists(path, role)
    for word in words:
        assert word in str(error.value)
