"""`eval`: the metrics of a recipe's predictions, of files from anywhere, or of two systems compared."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from xmcpipe.artifacts.store import Artifact, Store
from xmcpipe.cli.options import (
    STORE,
    ForceOption,
    JsonOption,
    RecipeOption,
    SetOption,
    ShardsOption,
    StoreOption,
)
from xmcpipe.cli.output import outcome_facts, print_comparison, print_json, print_metrics
from xmcpipe.cli.session import filled, read_recipe, report, run_stage
from xmcpipe.errors import XmcpipeError
from xmcpipe.measuring.files import EvalInputs
from xmcpipe.measuring.metrics_json import read_metrics
from xmcpipe.stages.evaluate import EvalConfig, compare_files, evaluate_files
from xmcpipe.stages.runner import Outcome


class Style(StrEnum):
    """How tables are written."""

    text = "text"
    markdown = "markdown"
    latex = "latex"


def evaluate(
    context: typer.Context,
    recipe: RecipeOption = None,
    settings: SetOption = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|DIR",
            help="Predictions: Parquet, JSONL, CSR npz, XC text, PECOS output, or an artifact.",
        ),
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="A B", help="Two predictions: their difference, and whether it is significant."),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(metavar="FILE|DIR", help="The true labels, in any of these formats."),
    ] = None,
    train: Annotated[
        Path | None,
        typer.Option(metavar="FILE|DIR", help="The training labels: PSP and popularity need them."),
    ] = None,
    filter_: Annotated[
        Path | None,
        typer.Option(
            "--filter",
            metavar="FILE",
            help="Pairs not to predict: .txt lines `row label`, or label lists as Parquet, JSONL or npz.",
        ),
    ] = None,
    shards: ShardsOption = None,
    k: Annotated[str | None, typer.Option("--k", metavar="K,K…", help="The ranks, as in 1,3,5.")] = None,
    bins: Annotated[
        int | None,
        typer.Option(min=1, help="Bins of label frequency: 3 for head, torso, tail; 10 for deciles."),
    ] = None,
    a: Annotated[
        float | None, typer.Option(help="A of PSP: 0.5 Wikipedia, 0.6 Amazon, others 0.55 (the default).")
    ] = None,
    b: Annotated[
        float | None, typer.Option(help="B of PSP: 0.4 Wikipedia, 2.6 Amazon, others 1.5 (the default).")
    ] = None,
    rounds: Annotated[int | None, typer.Option(min=0, help="Bootstrap rounds; 0 for no intervals.")] = None,
    level: Annotated[float | None, typer.Option(help="Level of confidence, 0.95 by default.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the bootstrap.")] = None,
    store: StoreOption = STORE,
    force: ForceOption = False,
    style: Annotated[Style, typer.Option("--format", help="How the tables are written.")] = Style.text,
    as_json: JsonOption = False,
) -> None:
    """Measure predictions, with confidence intervals, by label frequency, beside a popularity baseline."""
    ranks = None if k is None else _ranks(k)
    table = filled(k=ranks, bins=bins, a=a, b=b, rounds=rounds, level=level, seed=seed)
    given = _named(predictions, compare, truth, train, filter_)
    _refuse_ignored(context, given, compare is not None, as_json)
    if given is None and compare is None:
        artifacts = {"predictions": predictions, "shards": shards}
        outcome = run_stage("eval", recipe, settings, store, force, {"eval": table}, artifacts)
        metrics = metrics_of(outcome)
        if as_json:
            print_json({**outcome_facts(outcome), "metrics": metrics})
        else:
            if style is Style.text:
                report(outcome, as_json=False)
            print_metrics(metrics, style)
        return
    if given is None and compare and recipe is None:
        said = {*table, *(setting.split("=")[0].removeprefix("eval.").strip() for setting in settings or ())}
        table |= _constants(compare, store, {"a", "b", "propensity"} - said)
    config: EvalConfig = read_recipe(recipe, settings, {"eval": table}).configs["eval"]
    if compare is None:
        assert given, "files, or a stage"
        _show(evaluate_files(given, config), print_metrics, style, as_json)
    else:
        given = given or _of_artifacts(compare, shards, store)
        _show(compare_files(given, config), print_comparison, style, as_json)


def _show(
    facts: dict[str, Any], write: Callable[[dict[str, Any], str], None], style: Style, as_json: bool
) -> None:
    if as_json:
        print_json(facts)
    else:
        write(facts, style)


def metrics_of(outcome: Outcome) -> dict[str, Any]:
    """The contents of metrics.json of an eval stage's artifact."""
    return read_metrics(outcome.artifact.path)


def _named(
    predictions: Path | None,
    compare: tuple[Path, Path] | None,
    truth: Path | None,
    train: Path | None,
    filter_: Path | None,
) -> EvalInputs | None:
    """The files to measure; None where artifacts alone are named."""
    if predictions is not None and compare is not None:
        raise XmcpipeError("--predictions and --compare were given, one was wanted", "leave one of them out")
    if truth is not None:
        if predictions is None and compare is None:
            raise XmcpipeError("--truth was given without --predictions", "name the predictions to measure")
        systems = compare or ((predictions,) if predictions else ())
        return EvalInputs(systems, truth, train, filter_)
    for option, path in (("--train", train), ("--filter", filter_)):
        if path is not None:
            raise XmcpipeError(f"{option} was given without --truth", "name the true labels of the test too")
    for path in compare or filter(None, [predictions]):
        if not path.is_dir():
            raise XmcpipeError(f"{path} is a file, an artifact was wanted", "or add --truth FILE")
    return None


def _refuse_ignored(context: typer.Context, given: EvalInputs | None, comparing: bool, as_json: bool) -> None:
    """Raise XmcpipeError for an option that was given and would do nothing."""
    files = given is not None
    untrained = given is not None and given.train is None
    psp = "only of training labels, which --train names"
    for option, ignored, why in (
        ("shards", files, "beside --truth, the training labels are named by --train"),
        ("store", files, "files are measured without a store"),
        ("force", files or comparing, "what is measured here is not stored"),
        ("bins", comparing, "a comparison has no bins"),
        *((option, untrained, f"--{option} is {psp}") for option in ("bins", "a", "b")),
        ("style", as_json, "--json prints no tables"),
    ):
        source = context.get_parameter_source(option)
        if ignored and source is not None and source.name == "COMMANDLINE":
            shown = "--format" if option == "style" else f"--{option}"
            raise XmcpipeError(f"{shown} was given and would do nothing: {why}", "leave it out")


def _constants(compare: tuple[Path, Path], store: Path, wanted: set[str]) -> dict[str, Any]:
    """What is wanted of A, B and the kind of propensity, as the systems' own metrics in the store have them.

    Empty without any.
    """
    systems = {Artifact.at(path).manifest.fingerprint for path in compare}
    tables = [
        {key: value for key, value in metrics.manifest.config.items() if key in wanted}
        for metrics in Store(store).all("metrics")
        if metrics.manifest.inputs.get("predictions") in systems
    ]
    if any(other != tables[0] for other in tables[1:]):
        raise XmcpipeError(
            f"the two were measured with {tables[0]} and {next(t for t in tables if t != tables[0])}",
            "say which to use with --a and --b, or --recipe",
        )
    return tables[0] if tables else {}


def _of_artifacts(compare: tuple[Path, Path], shards: Path | None, store: Path) -> EvalInputs:
    """Two predictions artifacts with the shards they were made on, named or in the store."""
    manifests = [Artifact.at(path).manifest for path in compare]
    made_on = {manifest.inputs.get("shards", "") for manifest in manifests}
    if shards is None and len(made_on) > 1:
        raise XmcpipeError(
            f"{compare[0]} and {compare[1]} were predicted on different shards",
            "name with --shards, or with --truth, what to measure both against",
        )
    if shards is None:
        found = Store(store).find("shards", made_on.pop())
        if found is None:
            raise XmcpipeError(
                f"the shards that both were predicted on are not in {store}",
                "name the truth with --truth, or the shards with --shards",
            )
        shards = found.path
    return EvalInputs(compare, shards, shards)


def _ranks(text: str) -> list[int]:
    try:
        return sorted(int(part) for part in text.split(","))
    except ValueError as error:
        raise XmcpipeError(f"--k {text!r} was given, whole numbers were wanted", "as in --k 1,3,5") from error
