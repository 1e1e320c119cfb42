"""`eval`: the metrics of a recipe's predictions, or of files from anywhere."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from xmcpipe.cli.options import (
    STORE,
    ForceOption,
    JsonOption,
    RecipeOption,
    SetOption,
    ShardsOption,
    StoreOption,
)
from xmcpipe.cli.output import outcome_facts, print_json, print_metrics
from xmcpipe.cli.session import read_recipe, report, run_stage
from xmcpipe.errors import XmcpipeError
from xmcpipe.stages.evaluate import evaluate_files
from xmcpipe.stages.runner import Outcome


def evaluate(
    recipe: RecipeOption = None,
    settings: SetOption = None,
    predictions: Annotated[
        Path | None,
        typer.Option(metavar="FILE|DIR", help="Predictions: Parquet, JSONL, CSR npz, or an artifact."),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(metavar="FILE|DIR", help="The true labels, in any of these formats."),
    ] = None,
    train: Annotated[
        Path | None,
        typer.Option(metavar="FILE|DIR", help="The training labels: PSP and popularity need them."),
    ] = None,
    shards: ShardsOption = None,
    k: Annotated[str | None, typer.Option("--k", metavar="K,K…", help="The ranks, as in 1,3,5.")] = None,
    store: StoreOption = STORE,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure predictions: P, nDCG, recall, PSP, macro and coverage, beside a popularity baseline."""
    table = {} if k is None else {"k": _ranks(k)}
    if truth is not None:
        if predictions is None:
            raise XmcpipeError("--truth was given without --predictions", "name the predictions to measure")
        config = read_recipe(recipe, settings, {"eval": table}).configs["eval"]
        show(evaluate_files(predictions, truth, train, config), as_json)
        return
    if train is not None:
        raise XmcpipeError("--train was given without --truth", "name the true labels of the test too")
    if predictions is not None and not predictions.is_dir():
        raise XmcpipeError(f"{predictions} is a file, an artifact was wanted", "or add --truth FILE")
    given = {"predictions": predictions, "shards": shards}
    outcome = run_stage("eval", recipe, settings, store, force, {"eval": table}, given)
    metrics = metrics_of(outcome)
    if as_json:
        print_json({**outcome_facts(outcome), "metrics": metrics})
    else:
        report(outcome, as_json=False)
        print_metrics(metrics)


def show(metrics: dict[str, Any], as_json: bool) -> None:
    """Print metrics as a table, or as JSON."""
    if as_json:
        print_json(metrics)
    else:
        print_metrics(metrics)


def metrics_of(outcome: Outcome) -> dict[str, Any]:
    """The contents of metrics.json of an eval stage's artifact."""
    metrics: dict[str, Any] = json.loads((outcome.artifact.path / "metrics.json").read_text(encoding="utf-8"))
    return metrics


def _ranks(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise XmcpipeError(f"--k {text!r} was given, whole numbers were wanted", "as in --k 1,3,5") from error
