"""True labels in files of documents: fastText, LibMultiLabel, PECOS and Annif, as import reads them too."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.data.label_lists.label_files import as_lists, refused
from xmcpipe.data.label_lists.files import Role, read_label_lists
from xmcpipe.data.label_lists.lists import LabelLists
from xmcpipe.data.tables.formats import DocumentColumns, TextFileOptions, read_documents

NAMED, IDS = [["d", "f"], ["a"], ["c", "e"]], [[3, 5], [0], [2, 4]]
LIBMULTILABEL = "x1\td f\tsome text\nx2\ta\tother text of it\nx3\tc e\tthe third one\n"


def read(folder: Path, text: str, role: Role = "truth", name: str = "t.txt") -> LabelLists:
    (folder / name).write_text(text)
    return read_label_lists(folder / name, role)


@pytest.mark.parametrize(
    "text",
    [
        "__label__d __label__f some text\n__label__a other\n__label__c __label__e third\n",
        "some text __label__d __label__f\nother __label__a\nthird __label__c __label__e\n",
        "some __label__d text __label__f\n__label__a other\nthird __label__c , __label__e\n",
        "#tag text __label__d __label__f\n3:1 5:1 __label__a\n0 __label__c __label__e\n",
        "a:b __label__d __label__f\n3,5 text __label__a\n__label__c __label__e\n",
        "__label__d\t__label__f\tsome text\n__label__a\tother\n__label__c\t__label__e\tthird\n",
        "__topic__d __topic__f some text\n__topic__a other\n__topic__c __topic__e third\n",
        "some text __topic__d __topic__f\nother __init__ __topic__a\nthird __topic__c __topic__e\n",
        "#tag text __lbl__d __lbl__f\nother __lbl__a\nthird __lbl__c __lbl__e\n",
    ],
)
@pytest.mark.parametrize("role", ["truth", "train"])
def test_labels_of_fasttext_stand_anywhere(tmp_path: Path, text: str, role: Role) -> None:
    assert as_lists(read(tmp_path, text, role)) == NAMED


def test_fasttext_lines_without_labels_are_documents(tmp_path: Path) -> None:
    assert as_lists(read(tmp_path, "only text\n__label__a x\n\ny __label__b\n")) == [[], ["a"], [], ["b"]]


def test_predictions_of_fasttext_with_another_prefix(tmp_path: Path) -> None:
    text = "__topic__d 0.9 __topic__f 0.5\n\n__topic__a 0.25\n"
    lists = read(tmp_path, text, "predictions")
    assert as_lists(lists) == [["d", "f"], [], ["a"]]
    assert as_lists(read(tmp_path, "__topic__d __topic__f\n__topic__a\n", "predictions")) == [
        ["d", "f"],
        ["a"],
    ]


def test_numbers_as_labels_of_documents_are_ids_or_names(tmp_path: Path) -> None:
    for text in (
        "__label__3 __label__5 x y\nz __label__0\n__label__2 __label__4\n",
        "x1\t3 5\tsome text\nx2\t0\tother text\nx3\t2 4\tthe third\n",
        "3 5\tsome text\n0\tother text\n2 4\tthe third\n",
        "3,5\tsome text\n0\tother text\n2,4\tthe third\n",
        "3::1.0,5::0.5\tsome text\n0::1\tother text\n2::1.0,4::1.0,7::0\tthe third\n",
    ):
        lists = read(tmp_path, text)
        assert as_lists(lists) == IDS
        assert (lists.untyped, lists.width) == (True, None)
    assert str(read(tmp_path, "3::1.0,5::0.5\tsome\n0::1\tother\n").grades) == "0.5 to 1"


@pytest.mark.parametrize("name", ["t.txt", "t.tsv"])
def test_libmultilabel_with_ids_and_without(tmp_path: Path, name: str) -> None:
    lists = read(tmp_path, LIBMULTILABEL, name=name)
    assert as_lists(lists) == NAMED
    assert lists.ids is not None
    assert lists.ids.to_pylist() == ["x1", "x2", "x3"]
    lists = read(tmp_path, "x1\t\tno labels\r\nx2\ta b\ttwo of them here\r\n", name=name)
    assert as_lists(lists) == [[], ["a", "b"]]
    lists = read(tmp_path, "d f\tsome text\n\ta text of none\nc e\tthe third one\n", name=name)
    assert (as_lists(lists), lists.ids) == ([["d", "f"], [], ["c", "e"]], None)


@pytest.mark.parametrize("name", ["t.txt", "t.tsv"])
def test_annif(tmp_path: Path, name: str) -> None:
    text = "some text\t<http://x/1> <http://x/2>\nnone\t\nother\t<http://x/1>\n"
    assert as_lists(read(tmp_path, text, name=name)) == [["http://x/1", "http://x/2"], [], ["http://x/1"]]


@pytest.mark.parametrize(
    ("format_", "text"),
    [
        (
            "fasttext",
            "some text __label__d __label__f\n__label__a other\nthird __label__c __label__e of it\n",
        ),
        ("libmultilabel", LIBMULTILABEL),
        ("libmultilabel", "d f\tsome text\na\tother text\nc a\tthe third one\n"),
        ("pecos", "3,5\tsome text\n0\tother text\n2::0.5,4::0,7::1\tthe third\n"),
        ("annif", "some text\t<http://x/1> <http://x/2>\nother\t<http://x/1>\n"),
    ],
)
def test_import_reads_the_same_labels(tmp_path: Path, format_: str, text: str) -> None:
    logging.getLogger("xmcpipe").setLevel(logging.WARNING)
    lists = read(tmp_path, text)
    frames = list(read_documents(tmp_path / "t.txt", DocumentColumns(), TextFileOptions(format=format_)))
    assert [list(map(str, row)) for row in as_lists(lists)] == frames[0]["labels"].to_list()
    if lists.ids is not None:
        assert lists.ids.to_pylist() == frames[0]["id"].to_list()


def test_texts_that_are_shorter_than_their_labels_are_noted(tmp_path: Path) -> None:
    lists = read(tmp_path, "some long text\td f\nother text\ta\nthe third\tc\n")
    assert "5 words of text" not in str(lists.notes)
    assert (
        "7 labels and 4 words of text, such as the labels 'some long text' and the text 'd f'"
        in lists.notes[0]
    )
    assert read(tmp_path, LIBMULTILABEL).notes == ()


@pytest.mark.parametrize(
    ("text", "role", "words"),
    [
        ("x1\td f\nx2\ta\nx3\tc e\n", "truth", ["such as 'x1': are these ids, or labels?", "id,labels"]),
        ("1\td f\n2\ta\n", "truth", ["are these ids, or labels?"]),
        ("x\td f\tsome\nx\ta\tother\n", "truth", ["the id 'x' in several lines"]),
        ("x1\td f\tsome\nx2\ta\n", "truth", ["line 1: expected `row label:score …`"]),
        (LIBMULTILABEL, "predictions", ["true labels with texts", "--truth"]),
        ("d f\tsome text\nc e\tother\n", "predictions", ["true labels with texts"]),
        ("3,5\n0\n", "predictions", ["label ids alone", "header line labels"]),
        ("__a__x __b__y text\n__a__z __b__y text\n", "truth", ["one prefix, got '__a__' and '__b__'"]),
        ("__label__a__label__b text\n", "truth", ["line 1: expected `__label__name __label__name …`"]),
        ("label_a label_b text here\n", "truth", ["line 1", "begin with __label__", "sed"]),
        ("some text __label__a\n", "predictions", ["line 1"]),
        ("q1 0 d3 1\nq1 0 d4 0\n", "truth", ["a line per label, as TREC", "id,label,score"]),
        ("q1 Q0 d3 1 0.9 run\nq1 Q0 d4 2 0.5 run\n", "predictions", ["a line per label, as TREC"]),
        ("7\t3\t1\n7\t5\t2\n8\t3\t1\n8\t9\t2\n", "predictions", ["a line per label", "of an MS MARCO run"]),
        ("a\tx\t1\na\ty\t1\nb\tx\t0\nb\tz\t1\n", "truth", ["a line per label", "BEIR's qrels"]),
        ("art music\nart\n", "truth", ["line 1", "name:1 name:1"]),
        ("[(3, 0.9), (5, 0.5)]\n", "predictions", ["line 1", ".jsonl"]),
        ("3:0,9 5:0,5\n", "predictions", ["line 1", "decimal point"]),
        ("3 5 7\n1 2 8\n", "truth", ["line 2", "label:1 label:1"]),
    ],
)  # fmt: skip
def test_documents_that_could_be_misread_are_refused(
    tmp_path: Path, text: str, role: Role, words: list[str]
) -> None:
    (tmp_path / "t.txt").write_text(text)
    refused(tmp_path / "t.txt", "t.txt", *words, role=role)


def test_documents_with_a_number_for_a_text_are_no_line_per_label(tmp_path: Path) -> None:
    text = "".join(f"d{row}\tart\t{row}\n" for row in range(9))
    assert as_lists(read(tmp_path, text)) == [["art"]] * 9


def test_a_later_line_of_another_form_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from xmcpipe.data.label_lists.text import blocks

    monkeypatch.setattr(blocks, "LINES", 2)
    for last, form in (("x3\tc e", "id<TAB>label label<TAB>text"), ("x4", "id<TAB>label label<TAB>text")):
        (tmp_path / "t.txt").write_text("x1\td f\tsome text\nx2\ta\tother text\n" + last + "\n")
        refused(tmp_path / "t.txt", f"line 3: expected `{form}`", role="truth")
    rows: list[Any] = as_lists(read(tmp_path, LIBMULTILABEL))
    assert rows == NAMED


@pytest.mark.parametrize("view", [pa.list_view, pa.large_list_view])
def test_list_views_of_parquet(tmp_path: Path, view: Callable[[pa.DataType], pa.DataType]) -> None:
    labels = pa.array([[3, 5], [], None, [0]], view(pa.int64()))
    scores = pa.array([[0.5, 0.25], [], None, [1.0]], view(pa.float32()))
    pq.write_table(pa.table({"labels": labels, "scores": scores}), tmp_path / "p.parquet")
    read = read_label_lists(tmp_path / "p.parquet", "predictions")
    assert as_lists(read) == [[3, 5], [], [], [0]]
    assert read.scores is not None
    assert read.scores.tolist() == [0.5, 0.25, 1.0]
