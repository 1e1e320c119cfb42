"""Columns beside those that are read: a second one of lists is refused, a number that may be a score told."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.data.label_lists.label_files import as_lists, refused, write_jsonl, write_parquet
from xmcpipe.data.label_lists.files import Role, read_label_lists

NAMES = ("pred_labels", "prediction_labels", "top5", "suggestions", "model_output", "true_labels")


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("values", [["b", "c"], [2, 3], [0.5, 0.25]])
def test_a_second_column_of_lists_is_refused(
    tmp_path: Path, suffix: str, name: str, values: list[Any]
) -> None:
    path = tmp_path / f"p{suffix}"
    rows = [{"labels": ["a"], name: []}, {"labels": ["b", "c"], name: values}]
    (write_jsonl if suffix == ".jsonl" else write_parquet)(path, rows)
    refused(path, f"got 'labels' and {name!r}: which are the predictions?", "call it 'labels'")
    assert as_lists(read_label_lists(path, "truth")) == [["a"], ["b", "c"]]


@pytest.mark.parametrize("value", [[["b", 0.5]], {"b": 0.5, "c": 0.25}, "['b', 'c']", '["b"]'])
def test_other_forms_of_lists_in_json_are_refused(tmp_path: Path, value: Any) -> None:
    path = write_jsonl(tmp_path / "p.jsonl", [{"labels": ["a"], "top5": value}])
    refused(path, "got 'labels' and 'top5'")


@pytest.mark.parametrize(
    "cells",
    [
        ("['b', 'c']", "['a']"),
        ('[""b"", ""c""]', '[""z""]'),
        ("b;c", "c;a"),
        ("c|b", "a"),
        ("{'b': 0.5, 'c': 0.25}", "{'a': 0.5}"),
        ("0.5;0.25", "0.5"),
    ],
)
def test_a_second_list_in_csv_is_refused(tmp_path: Path, cells: tuple[str, str]) -> None:
    path = tmp_path / "p.csv"
    path.write_text(f'id,labels,top5\n1,b;c,"{cells[0]}"\n2,a,"{cells[1]}"\n')
    refused(path, "got 'labels' and 'top5': which are the predictions?")
    assert as_lists(read_label_lists(path, "truth")) == [["b", "c"], ["a"]]


def test_ids_between_blanks_in_a_second_column(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("labels,top5\n3 5,5 7\n7,3 5\n")
    refused(path, "got 'labels' and 'top5'")


def test_other_columns_are_no_lists_of_labels(tmp_path: Path) -> None:
    texts = "3 b,a 1,(see a)", '"one, two; three",x 2,"{""source"": ""b""}"'
    (tmp_path / "p.csv").write_text(f"labels,text,code,meta\nb;c,{texts[0]}\na,{texts[1]}\n")
    assert as_lists(read_label_lists(tmp_path / "p.csv", "predictions")) == [["b", "c"], ["a"]]
    row = {"labels": ["a"], "scores": [0.5], "embedding": [0.1, 0.2], "probabilities": [0.4], "text": "a, b"}
    for write, name in ((write_jsonl, "p.jsonl"), (write_parquet, "p.parquet")):
        path = write(tmp_path / name, [{**row, "meta": {"source": "x"}, "title": "(a)"}])
        assert as_lists(read_label_lists(path, "predictions")) == [["a"]]
    (tmp_path / "q.csv").write_text("labels,predictions\na,b;c\nb,c\n")
    assert as_lists(read_label_lists(tmp_path / "q.csv", "predictions")) == [["b", "c"], ["c"]]


def long(path: Path, name: str, values: list[Any], more: str = "") -> Path:
    """Two documents with the labels a, b and c."""
    pairs = [(document, label) for document in (1, 2) for label in "abc"]
    rows = [f"{d},{label},{value}{more}" for (d, label), value in zip(pairs, values, strict=True)]
    path.write_text("\n".join([f"id,label,{name}", *rows, ""]))
    return path


@pytest.mark.parametrize("name", ["cosine", "position", "p", "conf", "value", "distance", "k", "top"])
@pytest.mark.parametrize("values", [[0.1, 0.5, 0.3, 0.2, 0.7, 0.4], [3, 1, 2, 1, 3, 2], [0, 1, 0, 1, 0, 0]])
def test_a_number_of_each_label_is_told(tmp_path: Path, name: str, values: list[Any]) -> None:
    lists = read_label_lists(long(tmp_path / "p.csv", name, values), "predictions")
    (note,) = lists.notes
    assert f"column {name!r} is not used: is it the score of each label? Call it 'score'" in note
    assert lists.scores is None


@pytest.mark.parametrize(
    "values",
    [[7, 7, 7, 9, 9, 9], [5, 6, 8, 5, 6, 8], [0, 1, 2, 3, 4, 5], ["x", 1, 2, 2, 1, 3]],
    ids=["of the document", "of the label", "of the row", "text"],
)
def test_other_columns_are_no_scores(tmp_path: Path, values: list[Any]) -> None:
    for role in ("predictions", "truth"):
        lists = read_label_lists(long(tmp_path / "p.csv", "length", values), role)
        assert (as_lists(lists), lists.notes) == ([["a", "b", "c"]] * 2, ())


def test_scores_and_ranks_that_are_used_need_no_word(tmp_path: Path) -> None:
    for name in ("score", "rank", "probability"):
        path = long(tmp_path / "p.csv", f"{name},cosine", [3, 1, 2, 1, 3, 2], ",0.5")
        assert read_label_lists(path, "predictions").notes == ()


@pytest.mark.parametrize("name", ["value", "target", "rel", "y"])
@pytest.mark.parametrize(("none", "one"), [("0", "1"), ("0.0", "1.0"), ("False", "True")])
def test_a_truth_of_all_pairs_with_0_and_1(tmp_path: Path, name: str, none: str, one: str) -> None:
    values = [one, none, none, none, one, one]
    path = long(tmp_path / "t.csv", name, values)
    refused(path, f"got all 6 pairs, with 0 or 1 in column {name!r}", "call the column 'score'", role="truth")
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")  # not all pairs
    (note,) = read_label_lists(path, "truth").notes
    assert f"column {name!r} is not used, and rows with 0 in it count as labels too" in note
    if none == "0":
        lists = read_label_lists(long(tmp_path / "t.csv", "score", values), "truth")
        assert as_lists(lists) == [["a"], ["b", "c"]]


@pytest.mark.parametrize("header", ["", "Unnamed: 0", '""'])
def test_an_index_in_another_order_is_told(tmp_path: Path, header: str) -> None:
    def notes(indices: Any, role: Role = "truth", columns: str = "labels") -> tuple[str, ...]:
        cells = ",".join(["['a', 'b']".replace(",", " ")] + ["d"] * (columns != "labels"))
        rows = [f"{index},{cells}{index if columns != 'labels' else ''}" for index in indices]
        (tmp_path / "t.csv").write_text("\n".join([f"{header},{columns}", *rows, ""]))
        return read_label_lists(tmp_path / "t.csv", role).notes

    (note,) = notes([3, 0, 2, 1])
    assert "the first column numbers the rows in another order, such as '3' in the first row" in note
    assert "call it 'id' in both files" in note
    assert notes([3, 0, 2, 1], "predictions") == (note,)
    assert notes([3, 0, 2, 1], "train") == ()  # whose order doesn't matter
    assert notes([0, 1, 2, 3]) == ()
    assert notes([17, 4, 9, 30]) == ()  # of a part of another table
    assert notes([3, 0, 2, 1], columns="labels,id") == ()
