"""JSON in other shapes than an object for each document: one line that says what to do."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.data.tables.contents import Import
from xmcpipe.data.label_lists.files import read_label_lists
from xmcpipe.errors import XmcpipeError

TEXTS = ["one text", "another text"]
RECORDS = "write an object for each document (pandas: to_json(orient='records', lines=True))"
SHAPES: dict[str, tuple[Any, str, str]] = {
    "a list for each column": (
        {"text": TEXTS, "labels": [["a"], ["b"]]},
        "expected a string or a number in 'text', got a list",
        "write an object for each document; a text in pieces as one string",
    ),
    "pandas by columns": (
        {"text": dict(enumerate(TEXTS)), "labels": {0: ["a"], 1: ["b"]}},
        "expected a string or a number in 'text', got an object",
        RECORDS,
    ),
    "pandas, split": (
        {"columns": ["text", "labels"], "index": [0, 1], "data": [[text, ["a"]] for text in TEXTS]},
        "expected a column 'text', got columns, index, data",
        RECORDS,
    ),
    "a list inside an object": (
        {"data": [{"text": text, "labels": ["a"]} for text in TEXTS]},
        "expected a column 'text', got data",
        "write only the list in 'data', or each of its objects on a line",
    ),
    "labels as objects": (
        {"text": "one text", "labels": [{"label": "a", "score": 1}]},
        "expected a string or a number in 'labels', got an object",
        "write each label as a string, here perhaps its 'label'",
    ),
    "lists of labels in a list": (
        {"text": "one text", "labels": [["a"], ["b"]]},
        "expected a string or a number in 'labels', got a list",
        "write one list of labels for each document, without lists in it",
    ),
    "labels as keys": (
        {"text": "one text", "labels": {"a": 1, "b": 0}},
        "expected a list in 'labels', got an object",
        "write a list of the labels whose value is 1",
    ),
    "words of a text": (
        {"text": ["one", "text", "more"], "labels": ["a"]},
        "expected a string or a number in 'text', got a list",
        "write it as one string",
    ),
    "documents inside of hits (Elasticsearch)": (
        {"_index": "x", "_id": "1", "_source": {"text": "one text", "labels": ["a"]}},
        "expected a column 'text', got _index, _id, _source",
        "write only the object in '_source' on each line",
    ),
    "chats": (
        {"messages": [{"role": "user", "content": "one text"}, {"role": "assistant", "content": "a"}]},
        "expected a column 'text', got messages",
        "it is a file of chats: write each text and its labels as two keys of an object",
    ),
    "chats of ShareGPT": (
        {"id": 1, "conversations": [{"from": "human", "value": "one text"}]},
        "expected a column 'text', got id, conversations",
        "it is a file of chats: write each text and its labels as two keys of an object",
    ),
    "a list for each document (pandas: values)": (
        [["one", ["a"]], ["two", ["b"]]],
        "expected an object, got a list",
        "(write an object for each document (pandas: to_json(orient='records', lines=True)))",
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_another_shape_is_refused_with_a_way_out(read: Import, shape: str) -> None:
    value, fault, way_out = SHAPES[shape]
    error = read("x.json", json.dumps(value)).error
    assert fault in error
    assert way_out in error
    assert "\n" not in error


def test_dicts_as_python_prints_them(read: Import, tmp_path: Path) -> None:
    lines = "".join(f"{ {'text': text, 'labels': ['a']} }\n" for text in TEXTS)
    error = read("x.jsonl", lines).error
    assert error.endswith("(it is a dict as Python prints it: write json.dumps(row))")
    with pytest.raises(XmcpipeError, match="it is a dict as Python prints it"):
        read_label_lists(tmp_path / "x.jsonl", "truth")
    assert read("x.jsonl", '{"text": "one" "labels": []}\n').error.endswith("(write one object per line)")
