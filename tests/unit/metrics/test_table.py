"""The rows and notes that the command line prints, and both as Markdown and LaTeX."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from xmcpipe.metrics import Training, catalog, compare, evaluate
from xmcpipe.metrics.table import (
    comparison_notes,
    comparison_table,
    frequency_table,
    latex,
    markdown,
    notes,
    table,
)

RESULT = evaluate([[0, 1, 2]], [[0, 1]], Training(np.array([3, 1, 0, 0]), 41475), k=(1, 3), num_labels=4)


@pytest.fixture
def metrics() -> dict[str, Any]:
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
        "propensity": {"kind": "paper", "a": 0.55, "b": 1.5, "n": 41475},
        "filter": None,
        "model": RESULT.figures,
        "popularity": {**RESULT.figures, "P@1": 0.25},
        "intervals": {"rounds": 500, "level": 0.9, "seed": 0, "model": {"P@1": [0.9, 1.0]}},
        "by_frequency": [dataclasses.asdict(each) for each in RESULT.by_frequency()],
    }


def test_percentages_of_the_model_with_half_an_interval_next_to_popularity(metrics: dict[str, Any]) -> None:
    header, *rows = table(metrics)
    assert header == ["%", "@1", "@3", "popular @1", "popular @3"]
    assert rows[0] == ["precision", "100.00 ±5.00", "66.67", "25.00", "66.67"]
    titles = [row[0] for row in rows]
    assert {"nDCG", "recall", "PSP, raw", "macro F1, labels in test", "coverage, all labels"} <= set(titles)
    assert all(len(row) == len(header) for row in rows)


def test_every_figure_has_a_row_where_all_are_requested(metrics: dict[str, Any]) -> None:
    _, *rows = table(metrics, list(catalog.titles()))
    assert len(rows) * len(metrics["k"]) == len(metrics["model"])


def test_the_bins_have_their_labels_and_contributions(metrics: dict[str, Any]) -> None:
    header, *rows = frequency_table(metrics)
    assert header[:6] == ["by frequency, %", "labels", "documents each", "in test", "P@1", "P@3"]
    assert [row[:2] for row in rows] == [["head", "0"], ["torso", "1"], ["tail", "3"]]
    assert rows[1][2:6] == ["3–3", "1", "100.00", "33.33"]
    assert frequency_table({**metrics, "by_frequency": None}) == []


def test_notes_name_a_b_and_n_and_unusual_inputs(metrics: dict[str, Any]) -> None:
    text = "\n".join(notes(metrics))
    assert "A 0.55, B 1.5, N 41,475 (paper propensity, label texts counted as documents)" in text
    assert "7 documents have fewer than 3 predictions" in text
    assert "joined by row number" in text
    assert "90% interval, 500 bootstrap rounds" in text
    assert "merged" not in text
    assert "no label is in head: labels of the same frequency stay together" in text
    assert "pairs" not in text


def test_notes_state_the_cost_of_the_filter(metrics: dict[str, Any]) -> None:
    metrics |= {"filter": {"pairs": 1200, "true": 3}, "documents_short_by_filter": 5}
    text = "\n".join(notes(metrics))
    assert "1,200 pairs count neither as hits nor as misses" in text
    assert "3 of them from the truth" in text
    assert "5 of them because the filter left too few candidates" in text


def test_without_training_labels_the_notes_say_so(metrics: dict[str, Any]) -> None:
    psp_free = {name: value for name, value in metrics["model"].items() if not name.startswith("PS")}
    metrics |= {"propensity": None, "popularity": None, "model": psp_free, "intervals": None}
    header, *rows = table(metrics)
    assert header == ["%", "@1", "@3"]
    assert not [row for row in rows if row[0].startswith("PS")]
    assert "no PSP" in "\n".join(notes(metrics))
    assert "±" not in "\n".join(notes(metrics))


def test_a_comparison_has_signs_intervals_and_stars(metrics: dict[str, Any]) -> None:
    documents = 300
    truth = [[0]] * documents
    good = evaluate([[0]] * documents, truth, k=(1,))
    bad = evaluate([[0]] * 150 + [[1]] * 150, truth, k=(1,))
    differences = {
        name: {**dataclasses.asdict(each), "significant": each.significant}
        for name, each in compare(bad, good, 100).items()
    }
    system = {"joined_by": "id"}
    facts = {**metrics, "k": [1], "rounds": 100, "level": 0.95, "differences": differences}
    facts["systems"] = [{**system, "predictions": "one.npz"}, {**system, "predictions": "two.npz"}]
    header, first, *_ = comparison_table(facts)
    assert header == ["%", "A", "B", "A − B", "95% interval", "p", ""]
    assert first[:4] == ["precision @1", "50.00", "100.00", "−50.00"]
    low, high = first[4].split(" to ")
    assert low.startswith("−5")
    assert high.startswith("−4")
    assert first[6] == "*"
    text = "\n".join(comparison_notes(facts))
    assert "A: one.npz" in text
    assert "100 paired bootstrap rounds" in text


def test_markdown_and_latex_escape_special_characters() -> None:
    cells = [["%", "a|b"], ["x_y & z", "1.00 ±0.10"], ["*", "−2 … 3"]]
    assert markdown(cells).splitlines() == [
        r"| % | a\|b |",
        "| --- | ---: |",
        "| x_y & z | 1.00 ±0.10 |",
        r"| \* | −2 … 3 |",
    ]
    assert latex(cells).splitlines() == [
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"\% & a|b \\",
        r"\midrule",
        r"x\_y \& z & 1.00 $\pm$0.10 \\",
        r"* & $-$2 \dots{} 3 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
