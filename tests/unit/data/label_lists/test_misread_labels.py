"""Labels that are 0/1 vectors, lists saved as text, or several labels in one are refused or noted."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from typer.testing import CliRunner

from tests.unit.data.label_lists.label_files import as_lists, refused, write_jsonl, write_parquet
from xmcpipe.cli.app import app
from xmcpipe.data.label_lists.files import Role, read_label_lists

VECTORS = [[0, 0, 1, 0], [1, 0, 0, 1], [0, 1, 0, 0]]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize("role", ["truth", "train", "predictions"])
@pytest.mark.parametrize("kind", [int, float, bool, str])
def test_vectors_are_refused(tmp_path: Path, suffix: str, role: Role, kind: type) -> None:
    rows = [{"labels": [kind(value) for value in row]} for row in VECTORS]
    path = tmp_path / f"rows{suffix}"
    (write_jsonl if suffix == ".jsonl" else write_parquet)(path, rows)
    refused(path, "0/1 vectors of length 4", "positions of the 1s", role=role)


def test_pairs_of_two_labels_may_be_rankings(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "p.jsonl", [{"labels": [n % 2, 1 - n % 2]} for n in range(20)])
    assert as_lists(read_label_lists(path, "predictions"))[1] == [1, 0]
    refused(path, "0/1 vectors of length 2", role="truth")
    few = write_jsonl(tmp_path / "t.jsonl", [{"labels": [0, 1]}, {"labels": [0, 1]}, {"labels": [1]}])
    assert as_lists(read_label_lists(few, "truth")) == [[0, 1], [0, 1], [1]]


def test_vectors_of_scores_are_refused(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "p.jsonl", [{"labels": [0.25, 0.5]}])
    refused(path, "got numbers such as 0.25", "scores")


def test_lists_saved_as_text_are_refused(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "p.jsonl", [{"labels": ["['a', 'b']"]}, {"labels": ["['c']"]}])
    refused(path, "lists that were saved as text", "['a', 'b']")


@pytest.mark.parametrize(
    ("labels", "word"),
    [
        ([["['a'", "'b']"], ["['c'", "'d']"]], "begin or end with a bracket or a quote"),
        ([["a;b"], ["b;c"], ["a;c"], ["c;a;b"]], "';'"),
        ([["a\\tb"], ["b\\ta"], ["a\\ta\\tb"]], "several labels"),
    ],
)
def test_names_that_look_wrong_are_noted(tmp_path: Path, labels: list[list[str]], word: str) -> None:
    path = write_jsonl(tmp_path / "p.jsonl", [{"labels": row} for row in labels])
    (note,) = read_label_lists(path, "predictions").notes
    assert word in note


@pytest.mark.parametrize(
    "labels",
    [[["Smith, John"], ["Doe, Jane"]], [["new york"], ["old town"], ["x"]], [["C (language)"], ["a"]]],
)
def test_names_with_a_separator_are_names(tmp_path: Path, labels: list[list[str]]) -> None:
    path = write_jsonl(tmp_path / "p.jsonl", [{"labels": row} for row in labels])
    assert read_label_lists(path, "predictions").notes == ()


def test_the_separator_that_was_found_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('labels\n"Smith, John"\n"a,b"\n')
    (note,) = read_label_lists(tmp_path / "t.csv", "truth").notes
    assert "separated by ',', as in 'Smith, John'" in note


@pytest.mark.parametrize("separator", [";", "|", "\t", "\n"])
def test_a_separator_that_is_no_part_of_names_is_only_logged(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f'id,labels\n1,"a b{separator}c"\n2,c\n')
    lists = read_label_lists(path, "truth")
    assert (as_lists(lists), lists.notes) == ([["a b", "c"], ["c"]], ())
    result = CliRunner().invoke(app, ["eval", "--predictions", str(path), "--truth", str(path), "--json"])
    assert json.loads(result.stdout)["warnings"] == []
    assert "t.csv: labels are separated by" in result.stderr
    assert "warning" not in result.stderr


def test_grades_of_true_labels_are_told(tmp_path: Path) -> None:
    matrix: Any = sparse.csr_matrix(np.array([[0, 2.5, 1], [3, 0, 0]]))
    sparse.save_npz(tmp_path / "y.npz", matrix)
    (tmp_path / "y.txt").write_text("1:2.5 2:1\n0:3\n")
    rows = [{"labels": [1, 2], "scores": [2.5, 1]}, {"labels": [0], "scores": [3.0]}]
    write_jsonl(tmp_path / "y.jsonl", rows)
    for suffix in ("npz", "txt", "jsonl"):
        lists = read_label_lists(tmp_path / f"y.{suffix}", "truth")
        assert as_lists(lists) == [[1, 2], [0]]
        assert (str(lists.grades), lists.scores) == ("1 to 3", None)
    assert read_label_lists(tmp_path / "y.npz", "predictions").grades is None


def test_a_transposed_matrix_of_predictions_is_refused(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    labels = np.concatenate([generator.permutation(30)[:5] for _ in range(40)])
    matrix = sparse.csr_matrix((generator.random(200), labels, np.arange(0, 201, 5)), shape=(40, 30))
    sparse.save_npz(tmp_path / "right.npz", matrix)
    assert len(read_label_lists(tmp_path / "right.npz", "predictions")) == 40
    sparse.save_npz(tmp_path / "p.npz", matrix.T.tocsr())
    refused(tmp_path / "p.npz", "30 rows of different lengths and 40 columns with 5", "transposed")
