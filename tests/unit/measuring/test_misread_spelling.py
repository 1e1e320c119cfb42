"""Labels of two files that are none of each other's, or are spelt in two ways: told or refused."""

import re
import warnings as python_warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from tests.unit.evaluation_world import many, refusal, warnings, write_rows
from xmcpipe.errors import XmcpipeError
from xmcpipe.metrics import MisreadWarning, evaluate

TRUTH = many(lambda row: [f"topic {row % 8}", "Politics"][: 1 + row % 2])
PREDICTED = many(lambda row: ["Politics", f"topic {row % 8}", f"topic {row % 7}x"])


@pytest.mark.parametrize("change", [str.upper, lambda name: f"<{name}>", lambda name: "other " + name])
def test_training_labels_that_are_no_true_labels_are_refused(tmp_path: Path, change: Any) -> None:
    truth = write_rows(tmp_path / "t.jsonl", TRUTH)
    predictions = write_rows(tmp_path / "p.jsonl", PREDICTED)
    rows = [{"labels": [change(label) for label in row["labels"]]} for row in TRUTH]
    train = write_rows(tmp_path / "r.jsonl", rows)
    message = refusal(predictions, truth, train)
    assert f"none of the labels of {train} is in {truth}: {train} has" in message
    assert repr(change("Politics")) in message
    assert "t.jsonl has 'Politics', 'topic 0'" in message
    assert "use one vocabulary for both" in message
    rows[0] = {"labels": ["Politics"]}
    assert not [
        each for each in warnings(predictions, truth, write_rows(train, rows)) if "none of the" in each
    ]


def test_training_ids_that_are_no_true_labels(tmp_path: Path) -> None:
    truth = write_rows(tmp_path / "t.jsonl", many(lambda row: [row % 7]))
    predictions = write_rows(tmp_path / "p.jsonl", many(lambda row: [row % 6, 6]))
    train = write_rows(tmp_path / "r.jsonl", many(lambda row: [100 + row % 7]))
    assert "r.jsonl has 100, 101, 102, and" in refusal(predictions, truth, train)
    with pytest.raises(XmcpipeError, match="none of the labels of the training labels is in truth"):
        evaluate([[0], [1], [2]], [[0], [1], [2]], [[7], [8], [9]], k=(1,))


def test_new_labels_of_a_stated_vocabulary_are_told() -> None:
    """The width says that ids are of one table: a test of labels without training documents may be meant."""
    truth, train = np.zeros((4, 12), int), np.zeros((5, 12), int)
    truth[:, 1], train[:, 7] = 1, 1
    scores = sparse.csr_matrix(np.random.default_rng(0).random((4, 12)))
    with pytest.warns(MisreadWarning, match="none of the labels of the training labels is in truth"):
        evaluate(scores, truth, sparse.csr_matrix(train), k=(1,))


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("Politics", "politics"),
        ("Politics", "POLITICS "),
        ("New York", "new_york"),
        ("New York", "New-York"),
        ("New York", "New\u00a0York"),
        ("New York", "New  York"),
        ("R&D", "R&amp;D"),
        ("it's", "it&#39;s"),
        ("uri", "<uri>"),
        ("uri", "'uri'"),
        ("uri", "__label__uri"),
        ("7", "007"),
        ("c7", "c07"),
        ("12", "12.0"),
        ("\ufb01n", "fin"),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_labels_in_another_spelling_are_told(tmp_path: Path, name: str, other: str, turned: bool) -> None:
    known, changed = (other, name) if turned else (name, other)
    truth = write_rows(tmp_path / "t.jsonl", many(lambda row: ["a", known][row % 2 :]))
    rows = many(lambda row: ["b", known, "a"])
    predictions = write_rows(tmp_path / "p.jsonl", rows)
    assert warnings(predictions, truth) == []
    rows[4]["labels"][1] = changed
    (warning,) = warnings(write_rows(predictions, rows), truth)
    told = (
        f"1 labels are spelt otherwise in {{}}, such as {changed!r} for {known!r}: they count as other labels"
    )
    assert f"p.jsonl: {told.format(truth)}" in warning
    lists = [[row["labels"] for row in each] for each in (rows, many(lambda row: ["a", known][row % 2 :]))]
    with pytest.warns(MisreadWarning, match=re.escape(f"predictions: {told.format('truth')}")):
        evaluate(*lists, k=(1,))


def test_a_truth_in_another_spelling_than_training(tmp_path: Path) -> None:
    truth = write_rows(tmp_path / "t.jsonl", many(lambda row: ["a", "New York"][row % 2 :]))
    train = write_rows(tmp_path / "r.jsonl", many(lambda row: ["a", "new_york"][row % 2 :]))
    predictions = write_rows(tmp_path / "p.jsonl", many(lambda row: ["New York", "a"]))
    (warning,) = warnings(predictions, truth, train)
    assert f"t.jsonl: 1 labels are spelt otherwise in {train}, such as 'New York' for 'new_york'" in warning
    same = [["New York", "a"]] * 60
    with pytest.warns(
        MisreadWarning, match="truth: 1 labels are spelt otherwise in train, such as 'New York'"
    ):
        evaluate(same, [["a", "New York"][row % 2 :] for row in range(60)], [["a", "new_york"]] * 60, k=(1,))


def test_numbers_that_are_names_in_another_spelling(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("labels\n" + "007;12\n" * 20)
    (tmp_path / "t.csv").write_text("labels\n" + "7;12\n" * 20)
    found = warnings(tmp_path / "p.csv", tmp_path / "t.csv")
    assert any("such as '007' for '7'" in each for each in found)


def test_other_labels_are_no_other_spelling(tmp_path: Path) -> None:
    truth = write_rows(tmp_path / "t.jsonl", many(lambda row: ["C", "C++", "10", "a.b", "x1"][row % 5 :]))
    rows = many(lambda row: ["C#", "x1", "100", "C", "a b c", "x10", "1.0"])
    assert not [each for each in warnings(write_rows(tmp_path / "p.jsonl", rows), truth) if "spelt" in each]
    lists = [row["labels"] for row in rows]
    with python_warnings.catch_warnings(record=True) as found:
        python_warnings.simplefilter("always")
        evaluate(lists, [["C", "C++", "10", "a.b", "x1"][row % 5 :] for row in range(60)], k=(1,))
    assert not [each for each in found if "spelt" in str(each.message)]
