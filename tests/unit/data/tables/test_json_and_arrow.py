"""JSON as lines, one array, and objects of several lines; Arrow files and streams, and saved datasets."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.data.tables.contents import CLASSES, Import, parquet
from xmcpipe.data.tables import lines
from xmcpipe.data.tables.formats import DocumentColumns, TextFileOptions, read_documents

DOCUMENTS = [
    {"id": "a", "text": "one ] , {", "labels": ["x", "y"]},
    {"id": "b", "text": 'two "[\nlines', "labels": []},
    {"id": "c", "text": "three", "labels": ["ü"]},
]
WRITTEN = {
    "lines": "\n".join(map(json.dumps, DOCUMENTS)),
    "array": json.dumps(DOCUMENTS),
    "pretty array": json.dumps(DOCUMENTS, indent=2),
    "array a line each": "[\n" + ",\n".join(map(json.dumps, DOCUMENTS)) + "\n]\n",
    "pretty objects": "\n".join(json.dumps(each, indent=2) for each in DOCUMENTS),
}


@pytest.mark.parametrize("ending", ["json", "jsonl", "ndjson"])
@pytest.mark.parametrize("way", WRITTEN)
def test_json(read: Import, monkeypatch: pytest.MonkeyPatch, way: str, ending: str) -> None:
    for size in (1 << 23, 7):
        monkeypatch.setattr(lines, "BLOCK_CHARACTERS", size)
        got = read(f"x.{ending}", WRITTEN[way])
        assert got.labels == {"a": ["x", "y"], "b": [], "c": ["ü"]}
        assert got.texts == {each["id"]: each["text"] for each in DOCUMENTS}


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ('[{"text": "a", "labels": ["x"]}', "object 2: the array is not closed"),
        ('[{"text": "a", "labels": ["x"]}, {"text": ]', "object 2: invalid JSON"),
        ('[{"text": "a", "labels": ["x"]}] {}', "object 2: expected nothing after the array"),
        ('[{"text": "a", "labels": ["x"]}, ["b"]]', "object 2: expected an object, got a list"),
        ('{"data": [{"text": "a", "labels": ["x"]}]}', "expected a column 'text', got data"),
        (
            '[{"text": "a", "labels": [{"name": "x"}]}]',
            "object 1: expected a string or a number in 'labels', got an o",
        ),
    ],
)
def test_faulty_json(read: Import, content: str, fault: str) -> None:
    assert fault in read("x.json", content).error


records = st.lists(
    st.fixed_dictionaries(
        {"text": st.text('a[]{},:"\\ \nü', max_size=8), "labels": st.lists(st.sampled_from("xyz"))}
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=records, indent=st.sampled_from([None, 0, 2]))
def test_any_array_reads_as_python_reads_it(tmp_path: Path, rows: list[Any], indent: int | None) -> None:
    (tmp_path / "x.json").write_text(json.dumps(rows, indent=indent))
    unique = [{**row, "labels": list(dict.fromkeys(row["labels"]))} for row in rows]
    (frame,) = read_documents(tmp_path / "x.json", DocumentColumns(), TextFileOptions())
    assert [list(dict.fromkeys(names)) for names in frame["labels"]] == [row["labels"] for row in unique]
    assert frame["text"].to_list() == [row["text"].strip() for row in rows]


def arrow_bytes(table: pa.Table, kind: str) -> bytes:
    sink = pa.BufferOutputStream()
    new = pa.ipc.new_file if kind == "file" else pa.ipc.new_stream
    with new(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return bytes(sink.getvalue().to_pybytes())


TABLE = parquet({"0": [1, 0], "1": [2], "2": []}, pa.list_(pa.int64()), {"feature": CLASSES, "_type": "List"})


@pytest.mark.parametrize("kind", ["file", "stream"])
@pytest.mark.parametrize("ending", ["arrow", "feather"])
def test_arrow_files_and_streams(read: Import, kind: str, ending: str) -> None:
    got = read(f"x.{ending}", arrow_bytes(TABLE, kind))
    assert got.labels == {"0": ["alpha", "beta"], "1": ["gamma"], "2": []}


@pytest.mark.parametrize("content", [b"", b"ARROW1 and no more", b"something else"])
def test_broken_arrow(read: Import, content: bytes) -> None:
    assert "can't be read as Arrow" in read("x.arrow", content).error


def test_a_dataset_that_was_saved_in_parts(read: Import, tmp_path: Path) -> None:
    folder = tmp_path / "saved" / "train"
    folder.mkdir(parents=True)
    names = [f"data-0000{number}-of-00002.arrow" for number in range(2)]
    for name, part in zip(names, (TABLE.slice(0, 2), TABLE.slice(2)), strict=True):
        (folder / name).write_bytes(arrow_bytes(part, "stream"))
    state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "f", "_split": "train"}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text("{}")
    got = read("saved/train")
    assert got.labels == {"0": ["alpha", "beta"], "1": ["gamma"], "2": []}
    (tmp_path / "saved" / "dataset_dict.json").write_text('{"splits": ["train"]}')
    error = read("saved").error
    assert "holds a dataset of the splits train, expected one split" in error
    assert f"--train {tmp_path}/saved/train" in error
