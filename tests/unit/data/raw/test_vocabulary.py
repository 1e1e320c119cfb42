"""Codes by first appearance; ids by the value of numbers or by the label table; and that table itself."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmcpipe.data.raw.vocabulary import LabelCodes, vocabulary
from xmcpipe.data.tables.formats import TextFileOptions
from xmcpipe.data.tables.label_table import read_label_table
from xmcpipe.errors import XmcpipeError


@given(st.lists(st.lists(st.sampled_from(["a", "b", "", "10", "2", "ä"]))))
def test_codes_name_their_labels(batches: list[list[str]]) -> None:
    labels = LabelCodes()
    codes = [labels.encode(pl.Series(batch, dtype=pl.String)) for batch in batches]
    names = labels.names.to_list()
    assert [[names[code] for code in batch] for batch in codes] == batches
    assert names == list(dict.fromkeys(label for batch in batches for label in batch))


def test_labels_that_are_numbers() -> None:
    plain = LabelCodes()
    assert plain.encode(pl.Series([3, 0, 3])).tolist() == [3, 0, 3]
    assert plain.names.to_list() == ["0", "1", "2", "3"]
    assert plain.encode(pl.Series([], dtype=pl.Int32)).tolist() == []
    known = LabelCodes(pl.Series(["b", "a"]))
    assert known.encode(pl.Series([1, 0], dtype=pl.Int32)).tolist() == [1, 0]
    assert known.encode(pl.Series(["a", "new"])).tolist() == [1, 2]
    assert known.names.to_list() == ["b", "a", "new"]
    for labels, wrong in ((plain, -1), (known, 5), (plain, 1 << 40)):
        with pytest.raises(XmcpipeError, match=f"expected labels from 0 to .*, got {wrong} "):
            labels.encode(pl.Series([0, wrong]))


def test_numbers_are_ordered_by_value_and_before_names() -> None:
    names = pl.Series(["b", "10", "2", "a10", "-1", "a2", "002"])
    words = vocabulary(names, np.arange(7, dtype=np.int32), None, False)
    assert words["label"].to_list() == ["-1", "002", "2", "10", "a10", "a2", "b"]
    assert [names[code] for code in words["code"]] == words["label"].to_list()


def test_the_label_table_sets_the_order() -> None:
    table = pl.DataFrame({"label": ["z", "2", "unused", "a"], "text": ["Z", None, "U", "A"]})
    names, codes = pl.Series(["a", "10", "z", "2", "9", "gone"]), np.array([0, 1, 2, 3, 4], np.int32)
    words = vocabulary(names, codes, table, False)
    assert words["label"].to_list() == ["z", "2", "a", "9", "10"]
    assert words["text"].to_list() == ["Z", None, "A", None, None]
    assert words["code"].to_list() == [2, 3, 0, 4, 1]
    whole = vocabulary(names, codes, table, True)
    assert whole["label"].to_list() == ["z", "2", "unused", "a", "9", "10"]
    assert whole["code"].to_list() == [2, 3, None, 0, 4, 1]


def test_a_label_table_with_a_header(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('text,key\n"Fox, red",f\n,g\nFox again,f\n Cat ,c\n')
    table = read_label_table(tmp_path / "x.csv", "key", "text", TextFileOptions())
    assert table.rows() == [("f", "Fox, red"), ("g", None), ("c", "Cat")]
    assert read_label_table(tmp_path / "x.csv", "key", "key", TextFileOptions())["text"].to_list() == [
        "f",
        "g",
        "c",
    ]


def test_a_label_table_without_a_header_may_hold_the_separator(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_bytes(b'p1\tsatyr play\ts\r\n\np2\t"open\r\np3\n')
    table = read_label_table(tmp_path / "x.tsv", "label", "text", TextFileOptions(header=False))
    assert table.rows() == [("p1", "satyr play s"), ("p2", '"open'), ("p3", None)]


def test_a_label_table_from_json_has_labels_of_any_type(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"label": 3, "text": "three"}\n{"label": "4"}\n')
    assert read_label_table(tmp_path / "x.jsonl", "label", "text", TextFileOptions()).rows() == [
        ("3", "three"),
        ("4", None),
    ]


def test_a_faulty_label_table(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("label,text\n,a\n")
    with pytest.raises(XmcpipeError, match="expected at least one label, got none"):
        read_label_table(tmp_path / "x.csv", "label", "text", TextFileOptions())
    with pytest.raises(XmcpipeError, match="expected a column 'name', got label, text"):
        read_label_table(tmp_path / "x.csv", "label", "name", TextFileOptions())
