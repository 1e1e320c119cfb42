"""Baselines in a report: rows beside the models, without sections of their own and without false notes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.report_store import _of, _predictions, publish
from xmcpipe.artifacts import versions
from xmcpipe.artifacts.store import Artifact
from xmcpipe.config import to_table
from xmcpipe.measuring.metrics_json import METRICS_VERSION
from xmcpipe.report.facts.beside import with_baselines
from xmcpipe.report.facts.recipe_text import recipe_text
from xmcpipe.report.facts.runs import Run, differing, named, read_run, unknown_stages
from xmcpipe.report.make import ReportOptions, make_report
from xmcpipe.report.sections.headline import COST_HEADS, headline
from xmcpipe.stages.evaluate import EvalConfig, run


def add_baseline(shelf: Any, system: str, config: EvalConfig | None = None) -> Artifact:
    """Predictions and metrics of a baseline on the documents of the shelf."""
    raw, shards = (next(shelf.store.all(kind)) for kind in ("raw", "shards"))
    predictions = publish(
        shelf.store, "baseline", "predictions", versions.PREDICTIONS_VERSION, {"system": system, "k": 5},
        _of(raw), lambda folder: _predictions(folder, 0.2), {"system": system, "weights": 2_000_000},
    )  # fmt: skip
    config = config or EvalConfig(rounds=40)
    folders = {"predictions": predictions.path, "shards": shards.path}
    return publish(
        shelf.store, "eval", "metrics", METRICS_VERSION, to_table(config, keys="identity"),
        _of(predictions, shards), lambda folder: run(config, folders, folder, folder),
    )  # fmt: skip


def shown(shelf: Any) -> list[Run]:
    return with_baselines(shelf.runs(), shelf.store)


def test_comparable_baselines_come_after_the_models(shelf: Any) -> None:
    assert shown(shelf) == shelf.runs()
    add_baseline(shelf, "linear")
    add_baseline(shelf, "omikuji", EvalConfig(rounds=40, a=0.6))  # another PSP: not comparable
    runs = shown(shelf)
    assert [run.name for run in runs] == ["ffi", "dense", "linear"]
    assert [run.baseline for run in runs] == [None, None, "linear"]
    assert list(runs[2].artifacts) == ["raw", "predictions", "shards", "metrics"]
    assert runs[0].test_set == runs[2].test_set
    first, *others = shelf.runs()
    assert [each.name for each in with_baselines([replace(first, name="linear"), *others], shelf.store)][
        2
    ].startswith("linear ")


def test_a_baseline_that_is_named_itself_is_shown_once(shelf: Any) -> None:
    metrics = add_baseline(shelf, "linear")
    runs = named([*shelf.runs(), read_run(metrics, shelf.store)])
    assert [run.name for run in runs] == ["ffi", "dense", "linear"]
    assert with_baselines(runs, shelf.store) == runs


def test_settings_of_models_are_still_compared(shelf: Any) -> None:
    add_baseline(shelf, "linear")
    runs = shown(shelf)
    assert unknown_stages(runs) == []
    rows = differing(runs)
    assert rows["train.head.kind"] == ["ffi", "dense", None]
    assert rows["baseline.system"] == [None, None, "linear"]
    assert "[baseline]" in str(recipe_text(runs[2]))
    assert "[train]" not in str(recipe_text(runs[2]))


def test_the_headline_has_a_row_with_the_costs(shelf: Any) -> None:
    add_baseline(shelf, "linear")
    add_baseline(shelf, "popularity")
    runs = shown(shelf)
    from xmcpipe.report.facts.measurement import measure_runs

    table = headline(runs, measure_runs(runs, 0, 0)[0], [])
    row = next(row for row in table.rows if row.kind == "run" and row.name == "linear")
    assert row.below == "baseline"
    costs = [(cell.text, cell.below) for cell in row.cells[-len(COST_HEADS) :]]
    assert costs == [("1.0 MiB", "resident"), ("2.5 s", "with prediction"), ("2.00 M", "")]
    # A popularity baseline that is a run takes the place of the row that metrics.json has.
    assert [row.kind for row in table.rows if row.name == "popularity"] == ["run"]


@pytest.mark.parametrize("alone", [False, True])
def test_the_page_has_no_false_notes(shelf: Any, tmp_path: Path, alone: bool) -> None:
    metrics = add_baseline(shelf, "linear")
    runs = named([read_run(metrics, shelf.store)]) if alone else shown(shelf)
    facts = make_report(runs, ReportOptions(documents=10, rounds=20), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert not [note for note in facts["notes"] if "linear" in note and "linear − " not in note]
    assert "xmcpipe baseline rerun.toml" in text
    assert ("xmcpipe run rerun.toml" in text) is not alone
