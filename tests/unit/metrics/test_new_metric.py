"""A new metric is one object and one line of the catalog; figures, JSON and printed tables then have it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from xmcpipe.cli.app import app
from xmcpipe.metrics import catalog, compare, evaluate
from xmcpipe.metrics.labelwise import LabelMetric
from xmcpipe.metrics.terms import DocumentMetric, Term, ratio

ALL_RIGHT = Term("all_right", lambda batch: batch.hits.cumprod(axis=1))
EXACT = DocumentMetric(
    "exact", "documents without a miss", (ALL_RIGHT,), lambda sums: ratio(sums[ALL_RIGHT], sums.documents)
)
PERFECT = LabelMetric(
    "perfect",
    "labels without a miss",
    lambda counts: int((counts.right == counts.predicted).sum()) / counts.num_labels,
    group="coverage",
    summary_scopes=("tested",),
)

RANKED, TRUTH = [["x", "y"], ["y", "x"], ["z", "x"]], [["x", "y"], ["y"], ["x"]]


@pytest.fixture(autouse=True)
def _catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    """Does what the two lines in the catalog would do."""
    monkeypatch.setattr(catalog, "DOCUMENT_METRICS", (*catalog.DOCUMENT_METRICS, EXACT))
    monkeypatch.setattr(catalog, "LABEL_METRICS", (*catalog.LABEL_METRICS, PERFECT))


def test_evaluate_computes_it_with_intervals_and_bins() -> None:
    result = evaluate(RANKED, TRUTH, TRUTH, k=(1, 2))
    assert result.figures["exact@1"] == pytest.approx(2 / 3)
    assert result.figures["exact@2"] == pytest.approx(1 / 3)
    # at rank 1 x and y are predicted once each, and right; at rank 2 only y is right whenever predicted
    assert result.figures["perfect_tested@1"] == 1.0
    assert result.figures["perfect_tested@2"] == 0.5
    assert "exact@2" in result.intervals(rounds=5)
    assert compare(result, result, rounds=5)["exact@1"].difference == 0
    assert all("perfect@1" in each.figures for each in result.by_frequency())


def test_eval_prints_it_and_writes_it_as_json(tmp_path: Path) -> None:
    arguments = ["eval", "--k", "1,2", "--rounds", "5"]
    for name, rows in (("predictions", RANKED), ("truth", TRUTH)):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps({"labels": labels}) + "\n" for labels in rows))
        arguments += [f"--{name}", str(path)]
    shown = CliRunner().invoke(app, arguments).stdout
    assert "documents without a miss" in shown
    assert "labels without a miss, labels in test" in shown
    metrics = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert metrics["model"]["exact@1"] == pytest.approx(2 / 3)
    assert metrics["model"]["perfect_all@1"] == 1.0
    assert "exact@2" in metrics["intervals"]["model"]
