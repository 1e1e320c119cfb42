"""Names of labels and ids of documents: the repository's own if they are usable, else numbers."""

import json
from pathlib import Path

import polars as pl
import pytest

from tests.layout_folders import (
    MAKERS,
    NAMES,
    TEST,
    TRAIN,
    lines,
    write,
    x_y_text,
    xc_raw,
)
from tests.unit.data.layouts.documents import GOLDEN, read, rows
from xmcpipe.errors import XmcpipeError


def test_without_names_labels_are_numbers(tmp_path: Path) -> None:
    for layout, name in (("pecos", "output-items.txt"), ("xc_raw", "lbl.json.gz"), ("x_y", "Yf.txt")):
        MAKERS[layout](tmp_path / layout)
        next((tmp_path / layout).rglob(name)).unlink()
        documents = read(tmp_path / layout)
        assert rows(documents)["test"][1] == ("an early bird", ["4", "3"])
        if layout != "xc_raw":
            assert documents.label_table is not None
            assert documents.label_table.rows() == [(str(n), None) for n in range(5)]


def test_label_names_that_repeat_become_texts_of_numbered_labels(tmp_path: Path) -> None:
    MAKERS["pecos"](tmp_path)
    next(tmp_path.rglob("output-items.txt")).write_bytes(lines(["a", "b", "a", "", "c"]))
    table = read(tmp_path).label_table
    assert table is not None
    assert table.rows() == [("0", "a"), ("1", "b"), ("2", "a"), ("3", None), ("4", "c")]


def test_blank_lines_after_the_last_name_are_no_labels(tmp_path: Path) -> None:
    for layout in ("pecos", "xc_raw"):
        MAKERS[layout](tmp_path / layout)
    (tmp_path / "xc_raw" / "lbl.json.gz").unlink()
    for path in (tmp_path / "xc_raw" / "Y.txt", next(tmp_path.rglob("output-items.txt"))):
        write(path, lines([*NAMES, " ", ""]))
        table = read(tmp_path / ("xc_raw" if path.name == "Y.txt" else "pecos")).label_table
        assert table is not None
        assert table["label"].to_list() == NAMES


def test_names_that_are_all_numbers_are_no_texts(tmp_path: Path) -> None:
    MAKERS["attentionxml"](tmp_path)
    for split in ("train", "test"):
        write(
            tmp_path / f"{split}_labels.txt",
            lines(["10 9", "100", "", "9", "2 10"][: 5 if split == "train" else 2]),
        )
    table = read(tmp_path).label_table
    assert table is not None
    assert table.rows() == [("2", None), ("9", None), ("10", None), ("100", None)]


def test_uids_that_repeat_or_lack_get_their_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmcpipe.data.tables.lines.BLOCK_CHARACTERS", 60)  # one document per block
    xc_raw(tmp_path)
    uids = ["a", "b", "a", None, "", "a"]
    row = {"title": "t", "content": "", "target_ind": [0]}
    write(tmp_path / "trn.json.gz", lines([json.dumps({"uid": uid, **row}) for uid in uids]))
    ids = pl.concat(list(read(tmp_path).splits["train"]))["id"].to_list()
    assert ids == ["a", "b", "a#2", "#3", "#4", "a#5"]


def test_lines_with_ids(tmp_path: Path) -> None:
    x_y_text(tmp_path)
    (tmp_path / "Yf.txt").unlink()
    for name, split in (("train", TRAIN), ("test", TEST)):
        texts = [f"id{n}->{text}" for n, (text, _) in enumerate(split)]
        write(tmp_path / "raw_data" / f"{name}.raw.txt", lines(texts))
    write(tmp_path / "raw_data" / "label.raw.txt", lines([f"{name}->about-> {name}" for name in NAMES]))
    documents = read(tmp_path)
    assert documents.label_table is not None
    assert documents.label_table.rows() == [(name, f"about-> {name}") for name in NAMES]
    assert pl.concat(list(documents.splits["train"]))["id"].to_list() == [f"id{n}" for n in range(5)]
    assert rows(read(tmp_path)) == GOLDEN
    # among plain lines, one that looks like id->text is plain too
    write(tmp_path / "raw_data" / "test.raw.txt", b"a->b\nplain\n")
    assert [text for text, _ in rows(read(tmp_path))["test"]] == ["a->b", "plain"]


def test_a_line_without_an_id_after_a_block_of_lines_with_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xmcpipe.data.tables.lines.BLOCK_CHARACTERS", 3)
    x_y_text(tmp_path)
    write(tmp_path / "raw_data" / "test.raw.txt", b"a->b\nplain\n")
    with pytest.raises(XmcpipeError, match=r"test\.raw\.txt, line 2: expected id->text, got 'plain'"):
        rows(read(tmp_path))
