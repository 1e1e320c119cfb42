"""The rows and notes that the command line prints."""

from typing import Any

import numpy as np
import pytest

from xmcpipe.metrics.evaluator import evaluate
from xmcpipe.metrics.table import notes, table


@pytest.fixture
def metrics() -> dict[str, Any]:
    figures = evaluate(np.array([[0, 1, 2]]), np.array([0, 2]), np.array([0, 1]), 4, [1, 3], np.ones(4) * 2)
    return {
        "k": [1, 3],
        "documents": 1,
        "labels": 4,
        "labels_from": "the vocabulary",
        "labels_in_test": 2,
        "joined_by": "row number",
        "documents_without_truth": 0,
        "documents_with_short_predictions": 7,
        "predictions_of_unknown_labels": 0,
        "repeated_labels_merged": 0,
        "filtered_pairs_in_truth": 0,
        "filtered_pairs_in_predictions": 3,
        "propensity": {"kind": "paper", "a": 0.55, "b": 1.5, "n": 41475},
        "model": figures,
        "popularity": {**figures, "P@1": 0.25},
    }


def test_percentages_of_the_model_beside_popularity(metrics: dict[str, Any]) -> None:
    header, *rows = table(metrics)
    assert header == ["%", "@1", "@3", "popular @1", "popular @3"]
    assert rows[0] == ["precision", "100.00", "66.67", "25.00", "66.67"]
    titles = [row[0] for row in rows]
    assert {"nDCG", "recall", "PSP, raw", "macro F1, labels in test", "coverage, all labels"} <= set(titles)
    assert all(len(row) == len(header) for row in rows)


def test_every_figure_has_its_row(metrics: dict[str, Any]) -> None:
    _, *rows = table(metrics)
    assert len(rows) * len(metrics["k"]) == len(metrics["model"])


def test_notes_name_a_b_and_n_and_what_was_unusual(metrics: dict[str, Any]) -> None:
    text = "\n".join(notes(metrics))
    assert "A 0.55, B 1.5, N 41,475 (paper propensity, label texts counted as documents)" in text
    assert "7 documents have under 3 predictions" in text
    assert "joined by row number" in text
    assert "3 pairs of the predictions are excluded" in text
    assert "merged" not in text


def test_without_training_labels_the_notes_say_so(metrics: dict[str, Any]) -> None:
    psp_free = {name: value for name, value in metrics["model"].items() if not name.startswith("PS")}
    metrics |= {"propensity": None, "popularity": None, "model": psp_free}
    header, *rows = table(metrics)
    assert header == ["%", "@1", "@3"]
    assert not [row for row in rows if row[0].startswith("PS")]
    assert "no PSP" in "\n".join(notes(metrics))
