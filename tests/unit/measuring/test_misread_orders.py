"""Predictions that have no order of a ranking, no labels, or labels of other files: told or refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from tests.unit.evaluation_world import QUICK, many, refusal, warnings, write_rows
from xmcpipe.measuring.files import EvalInputs
from xmcpipe.metrics import MisreadWarning, evaluate
from xmcpipe.stages.evaluate import evaluate_files


def true_rows(count: int = 30, names: bool = False) -> list[list[Any]]:
    """One to three labels, in no order."""
    rows: list[list[Any]] = [
        [row % 11, (3 * row + 5) % 7 + 11, 18 + row % 4][: 1 + row % 3] for row in range(count)
    ]
    rows = [row[::-1] if at % 2 else row for at, row in enumerate(rows)]
    return [[f"n{label}" for label in row] for row in rows] if names else rows


@pytest.mark.parametrize("names", [False, True])
def test_predictions_that_are_the_truth_are_told(tmp_path: Path, names: bool) -> None:
    rows = true_rows(names=names)
    truth = write_rows(tmp_path / "t.jsonl", [{"id": at, "labels": row} for at, row in enumerate(rows)])
    copy: list[Any] = [{"id": at, "labels": row[::-1]} for at, row in enumerate(rows)][::-1]
    (warning,) = warnings(write_rows(tmp_path / "p.jsonl", copy), truth)
    assert "p.jsonl has no scores, and exactly the true labels in each of 30 documents" in warning
    scored = [{**row, "scores": np.linspace(1, 0.5, len(row["labels"])).tolist()} for row in copy]
    assert warnings(write_rows(tmp_path / "p.jsonl", scored), truth) == []
    copy[0]["labels"] = [*copy[0]["labels"], "n99" if names else 99]
    assert warnings(write_rows(tmp_path / "p.jsonl", copy), truth) == []
    with pytest.warns(MisreadWarning, match="exactly the true labels in each of 30 documents"):
        evaluate(rows, rows)


@pytest.mark.parametrize("change", [str, str.upper, lambda name: name.upper() if "1" in name else name])
def test_names_in_alphabetical_order_are_told(tmp_path: Path, change: Any) -> None:
    truth = write_rows(tmp_path / "t.jsonl", many(lambda row: [f"n{row % 20}"]))
    train = write_rows(
        tmp_path / "r.jsonl", many(lambda row: [change(f"n{row % 25}")]) + many(lambda row: [f"n{row % 20}"])
    )
    rows = many(lambda row: sorted((change(f"n{row % 20}"), change(f"n{(row + 7) % 25}")), key=str.lower))
    found = warnings(write_rows(tmp_path / "p.jsonl", rows), truth, train)
    assert any(
        "has no scores, and the labels of each document are in alphabetical order" in each for each in found
    )
    rows[3]["labels"].reverse()
    found = warnings(write_rows(tmp_path / "p.jsonl", rows), truth, train)
    assert not any("in alphabetical order" in each for each in found)


def matrix(scores: Any, seed: int = 0) -> Any:
    """A matrix [40, 30] with the same scores in each row, in another order."""
    random = np.random.default_rng(seed)
    count = len(scores)
    labels = np.concatenate([random.permutation(30)[:count] for _ in range(40)])
    values = np.tile(np.array(scores, float), 40)
    return sparse.csr_matrix((values, labels, np.arange(0, 40 * count + 1, count)), shape=(40, 30))


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("count", [4, 8])  # of which the best 5 are read
def test_ranks_in_a_matrix_are_told(tmp_path: Path, first: int, count: int) -> None:
    truth = write_rows(tmp_path / "t.jsonl", many(lambda row: [row % 30], 40))
    ranks = matrix(range(first, first + count))
    ranks.sort_indices()
    sparse.save_npz(tmp_path / "p.npz", ranks)
    found = [each for each in warnings(tmp_path / "p.npz", truth) if "are they ranks?" in each]
    assert len(found) == 1
    assert "whole numbers in a row, such as " in found[0]
    scores = matrix([0.5, 2, 3, 7.5])
    scores.sort_indices()
    sparse.save_npz(tmp_path / "p.npz", scores)
    assert not [each for each in warnings(tmp_path / "p.npz", truth) if "are they ranks?" in each]


def test_whole_scores_that_stand_best_first_are_no_ranks(tmp_path: Path) -> None:
    truth = write_rows(tmp_path / "t.jsonl", many(lambda row: [row % 7]))
    rows = many(lambda row: [row % 7, 7 + row % 5, 12 + row % 3])
    predictions = write_rows(tmp_path / "p.jsonl", [{**row, "scores": [3, 2, 1]} for row in rows])
    assert warnings(predictions, truth) == []
    write_rows(predictions, [{**row, "scores": [2, 3, 1]} for row in rows])
    assert any("such as 1, 2, 3, and the greatest" in each for each in warnings(predictions, truth))


def test_a_file_without_any_prediction_is_refused(tmp_path: Path) -> None:
    truth = write_rows(tmp_path / "t.jsonl", many(lambda row: [row % 5]))
    predictions = write_rows(tmp_path / "p.jsonl", many(lambda row: []))
    assert "p.jsonl: none of 60 documents has a prediction" in refusal(predictions, truth)
    write_rows(predictions, [*many(lambda row: [], 59), {"labels": [4]}])
    metrics = evaluate_files(EvalInputs([predictions], truth), QUICK)
    assert metrics["model"]["P@1"] == pytest.approx(1 / 60)
