"""Exports of annotation tools: what annotators rejected, ignored or discarded is no label."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.unit.data.tables.contents import Import
from xmcpipe.data.label_lists.files import read_label_lists
from xmcpipe.data.tables import lines
from xmcpipe.errors import XmcpipeError

Rows = list[dict[str, Any]]
ONE = {"labels": "label", "label_separator": "none"}
OPTIONS = [{"id": name, "text": name} for name in ("TECH", "NEWS")]


def written(rows: Rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def asked(*answers: tuple[str, str, str]) -> Rows:
    """Rows of Prodigy, one for each text, label and answer."""
    return [{"text": text, "label": label, "answer": answer} for text, label, answer in answers]


BINARY = asked(
    ("a phone", "TECH", "accept"),
    ("a phone", "SPORT", "reject"),
    ("a goal", "TECH", "reject"),
    ("a phone", "NEWS", "accept"),
    ("a goal", "SPORT", "accept"),
    ("some rain", "SPORT", "reject"),
    ("what", "NEWS", "ignore"),
)
WANTED = {"0": ["NEWS", "TECH"], "2": ["SPORT"], "5": []}


@pytest.mark.parametrize("size", [1 << 23, 60])
@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet"])
def test_a_rejected_label_of_prodigy_is_none(
    read: Import, monkeypatch: pytest.MonkeyPatch, kind: str, size: int
) -> None:
    monkeypatch.setattr(lines, "BLOCK_CHARACTERS", size)
    table = "text,label,answer\n" + "".join(",".join(row.values()) + "\n" for row in BINARY)
    contents: dict[str, Any] = {
        "jsonl": written(BINARY),
        "json": json.dumps(BINARY, indent=1),
        "csv": table,
        "parquet": pa.Table.from_pylist(BINARY),
    }
    got = read(f"x.{kind}", contents[kind], **ONE)
    assert (got.error, got.labels) == ("", WANTED)
    assert got.texts["2"] == "a goal"
    said = "answers of Prodigy: 3 rejected (their label is not read), 1 ignored (left out), of 7 rows"
    assert any(line.endswith(said) for line in got.log)
    assert any("rows of one text are one document: 6 rows, 3 documents" in line for line in got.log)


def test_a_label_that_was_accepted_and_rejected(read: Import) -> None:
    rows = asked(("a phone", "TECH", "accept"), ("a phone", "TECH", "reject"), ("a goal", "NEWS", "accept"))
    got = read("x.jsonl", written(rows), **ONE)
    assert got.labels["0"] == ["TECH"]
    assert any(
        "rejected in another of the same text, which count as accepted: 1" in line for line in got.warnings
    )


def test_choices_of_prodigy(read: Import) -> None:
    answers = [
        *(
            ("a phone", ["TECH", "NEWS"], "accept"),
            ("a goal", ["NEWS"], "accept"),
            ("rain", ["TECH"], "reject"),
        ),
        *(("what", ["TECH"], "ignore"), ("none of them", [], "accept")),
    ]
    rows = [
        {"text": text, "options": OPTIONS, "accept": accept, "answer": answer}
        for text, accept, answer in answers
    ]
    got = read("x.jsonl", written(rows), labels="accept")
    assert (got.error, got.labels) == ("", {"0": ["NEWS", "TECH"], "1": ["NEWS"], "4": []})
    assert any("answers of Prodigy: 1 rejected (left out), 1 ignored (left out)" in line for line in got.log)
    assert read("x.jsonl", written(rows)).error.endswith(
        "name the column of labels with --labels-column accept)"
    )
    own = [{**row, "labels": row["accept"], "_input_hash": 1} for row in rows]
    assert read("x.jsonl", written(own)).labels == got.labels


def test_discarded_rows_of_argilla(read: Import) -> None:
    states = ["Validated", "Discarded", "Default", "Validated"]
    rows = [{"text": f"note {row}", "annotation": ["a"], "status": state} for row, state in enumerate(states)]
    got = read("x.jsonl", written(rows), labels="annotation")
    assert list(got.labels) == ["0", "2", "3"]
    assert (
        "left out 1 of 4 rows, whose 'status' is discarded (Argilla): rename that column" in got.warnings[0]
    )
    renamed = written(rows).replace('"status"', '"state"')
    assert len(read("x.jsonl", renamed, labels="annotation").labels) == 4


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_responses_of_argilla_that_were_not_submitted(read: Import, kind: str) -> None:
    responses = [
        (["a", "b"], ["submitted", "discarded"]),
        (["a"], ["draft"]),
        (["b"], ["submitted"]),
        (None, None),
    ]
    rows = [
        {"text": f"note {row}", "topic.responses": labels, "topic.responses.status": states}
        for row, (labels, states) in enumerate(responses)
    ]
    content = written(rows) if kind == "jsonl" else pa.Table.from_pylist(rows)
    got = read(f"x.{kind}", content, labels="topic.responses")
    assert (got.error, got.labels) == ("", {"0": ["a"], "1": [], "2": ["b"], "3": []})
    assert "response was not submitted (topic.responses.status, Argilla): 2" in got.warnings[0]
    odd = [{**rows[0], "topic.responses": ["a"]}]
    error = read("x.jsonl", written(odd), labels="topic.responses").error
    assert "row 1: expected a status for each label in topic.responses.status, got 2 for 1" in error


def test_rows_that_annotators_of_label_studio_cancelled(read: Import) -> None:
    rows = [{"text": f"note {row}", "labels": ["a"], "was_cancelled": row == 1} for row in range(3)]
    for name, content in (("x.jsonl", written(rows)), ("x.parquet", pa.Table.from_pylist(rows))):
        got = read(name, content)
        assert list(got.labels) == ["0", "2"]
        assert "left out 1 of 3 rows, whose 'was_cancelled' is true (Label Studio)" in got.warnings[0]


CHOICES: dict[str, Any] = {"0": {"choices": ["TECH", "NEWS, old"]}, "1": "NEWS, old", "2": "TECH", "3": ""}
READ = {"0": ["NEWS, old", "TECH"], "1": ["NEWS, old"], "2": ["TECH"], "3": []}


def test_choices_of_label_studio(read: Import) -> None:
    cells = {row: json.dumps(each) if isinstance(each, dict) else each for row, each in CHOICES.items()}
    table = "id,text,topic\n" + "".join(
        f'{row},note {row},"{cell.replace(chr(34), 2 * chr(34))}"\n' for row, cell in cells.items()
    )
    for options in ({}, {"label_separator": "||"}):
        got = read("x.csv", table, labels="topic", **options)
        assert (got.error, got.labels, got.warnings) == ("", READ, [])
    rows = [{"id": row, "text": f"note {row}", "topic": each} for row, each in CHOICES.items()]
    assert read("x.json", json.dumps(rows), labels="topic", label_separator="||").labels == READ
    assert (
        "expected one label in 'topic'" in read("x.csv", table, labels="topic", label_separator="none").error
    )
    lists = [row for row in rows if isinstance(row["topic"], dict)]
    assert read("x.jsonl", written(lists), labels="topic").labels == {"0": READ["0"]}


@pytest.mark.parametrize(
    ("row", "way_out"),
    [
        (
            {"id": 1, "annotations": [{"result": [], "was_cancelled": True}], "data": {"text": "a note"}},
            "it is of Label Studio: export as JSON-MIN or CSV",
        ),
        (
            {"id": 1, "text": "a note", "annotations": [{"label": 3}], "annotation_approver": None},
            "it is of doccano, with numbers of labels",
        ),
        (
            {"id": "a", "fields": {"text": "a note"}, "responses": {"topic": [{"value": "a"}]}},
            "it is of Argilla: export its records as flat rows",
        ),
    ],
)
def test_exports_in_another_shape_name_the_right_one(read: Import, row: dict[str, Any], way_out: str) -> None:
    for table in ({}, {"text": ["data"], "labels": "annotations"}):
        assert way_out in read("x.json", json.dumps([row, row]), **table).error


def test_rows_of_doccano_that_nobody_approved(read: Import) -> None:
    rows = [
        {"text": f"note {row}", "label": ["a", "b"][: row % 3], "annotation_approver": "me" if row else None}
        for row in range(4)
    ]
    got = read("x.jsonl", written(rows), labels="label")
    assert got.labels == {"0": [], "1": ["a"], "2": ["a", "b"], "3": []}
    assert "nobody approved 1 of 4 rows, whose 'annotation_approver' is empty" in got.warnings[0]
    nobody = [{**row, "annotation_approver": None} for row in rows]
    assert read("x.jsonl", written(nobody), labels="label").warnings == []
    joined = "id,text,label\n1,a note,a#b\n2,two notes,b\n"
    assert "here perhaps '#'" in read("x.csv", joined, labels="label").error


@pytest.mark.parametrize(
    "extra",
    [
        {"answer": ["Paris", "accept", "London"]},
        {"answer": [{"text": "accept"}, ["accept"], 3]},
        {"answer": ["accept", "reject", "ignore"]},
        {"status": ["open", "discarded", "closed"]},
        {"status": [{"code": "discarded"}, "discarded", None]},
        {"was_cancelled": ["true", "later", "no"]},
        {"labels.status": ["discarded", "open", "x"]},
        {"annotation_approver": [None, None, None]},
    ],
)
def test_other_columns_of_these_names_change_nothing(read: Import, extra: dict[str, list[Any]]) -> None:
    ((name, values),) = extra.items()
    rows = [{"text": f"note {row}", "labels": ["a"], name: value} for row, value in enumerate(values)]
    got = read("x.jsonl", written(rows))
    assert (got.error, got.warnings, list(got.labels)) == ("", [], ["0", "1", "2"])


def test_columns_that_the_user_named_are_no_status(read: Import) -> None:
    rows = [
        {"answer": each, "status": ["discarded"], "label": "a"} for each in ("accept", "ignore", "reject")
    ]
    got = read("x.jsonl", written(rows), text=["answer"], labels="status")
    assert (got.error, got.labels) == ("", {"0": ["discarded"], "1": ["discarded"], "2": ["discarded"]})
    table = "text,label,answer,answer\n" + "one,a,reject,x\ntwo,b,ignore,y\n"
    assert read("x.csv", table, **ONE).labels == {"0": ["a"], "1": ["b"]}


def test_another_value_after_answers(read: Import, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BLOCK_CHARACTERS", 40)
    error = read("x.jsonl", written(asked(("one", "a", "reject"), ("two", "b", "Paris"))), **ONE).error
    assert (
        "row 2: expected one of accept, reject, ignore in 'answer', as in the rows before, got 'Paris'"
        in error
    )


@pytest.mark.parametrize(
    ("name", "cells", "fault"),
    [
        (
            "answer",
            ["accept", "reject", "ignore"],
            "in 2 of 3 rows 'answer' is reject or ignore: annotators did not",
        ),
        ("status", ["Validated", "Discarded", ""], "in 1 of 3 rows 'status' is discarded"),
        ("was_cancelled", ["False", "True", "False"], "in 1 of 3 rows 'was_cancelled' is true"),
        ("answer", ["accept", "accept", "accept"], ""),
        ("answer", ["accept", "reject", "Paris"], ""),
        ("status", ["open", "discarded", "closed"], ""),
        ("was_cancelled", ["False", "False", "False"], ""),
    ],
)
def test_a_truth_with_rows_that_nobody_confirmed(
    tmp_path: Path, name: str, cells: list[str], fault: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"id,label,{name}\n" + "".join(f"{row},a,{cell}\n" for row, cell in enumerate(cells)))
    if fault:
        with pytest.raises(XmcpipeError, match=re.escape(fault)):
            read_label_lists(path, "truth")
    else:
        assert len(read_label_lists(path, "truth")) == 3


def test_half_of_a_character_in_a_column_beside(read: Import) -> None:
    one = {"text": "one", "labels": ["a"], "status": "\ud800"}
    two = {"text": "two", "labels": ["b"], "answer": {"x": "\ud800"}}
    got = read("x.jsonl", written([one, two]))
    assert (got.error, got.labels) == ("", {"0": ["a"], "1": ["b"]})
