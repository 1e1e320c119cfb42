"""`eval`: measures the predictions of a recipe, files of any system, or two systems and their difference.

The command has three modes. With a recipe, or with a predictions artifact alone, it runs the stage `eval`.
With --truth it measures files and stores nothing. With --compare it measures two systems, as recipes,
artifacts or files, and stores nothing.
"""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from xmcpipe.artifacts.verified import require_whole_now
from xmcpipe.cli.options import (
    STORE,
    ForceOption,
    JsonOption,
    RecipeArgument,
    RecipeOption,
    SetOption,
    ShardsOption,
    StoreOption,
    VerifyOption,
)
from xmcpipe.cli.output import outcome_facts, print_comparison, print_json, print_metrics
from xmcpipe.cli.session import (
    artifact_of_recipe,
    at_most_one_recipe,
    only_set,
    read_recipe,
    report,
    run_stage,
)
from xmcpipe.cli.shown import echo
from xmcpipe.cli.systems import constants_of, inputs_of, is_file, systems_of
from xmcpipe.errors import XmcpipeError
from xmcpipe.measuring.files import EvalInputs
from xmcpipe.measuring.metrics_json import read_metrics
from xmcpipe.measuring.per_label import require_ending
from xmcpipe.stages.evaluate import compare_files, evaluate_files
from xmcpipe.stages.runner import Outcome


class Style(StrEnum):
    """The format of printed tables."""

    text = "text"
    markdown = "markdown"
    latex = "latex"


PredictionsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE|DIR",
        help="Predictions of any system: Parquet, JSONL, CSV, npz, npy, text of omikuji, fastText, …, or an "
        "artifact.",
    ),
]
CompareOption = Annotated[
    tuple[str, str] | None,
    typer.Option(
        metavar="A B",
        help="Compare two systems, as recipes or folders, or as files with --truth: print the differences "
        "and their intervals.",
    ),
]
TruthOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE|DIR", help="True labels, in any of the formats of --predictions."),
]
TrainOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE|DIR",
        help="Training labels, which PSP and the popularity baseline are computed from.",
    ),
]
FilterOption = Annotated[
    Path | None,
    typer.Option(
        "--filter",
        metavar="FILE",
        help="Pairs to exclude: a .txt file of lines `row label`, or label lists as Parquet, JSONL or npz.",
    ),
]
RanksOption = Annotated[str | None, typer.Option("--k", metavar="K,K…", help="Ranks; 1,3,5 by default.")]
BinsOption = Annotated[
    int | None,
    typer.Option(min=1, help="Number of label frequency bins: 3 for head, torso and tail, 10 for deciles."),
]
AOption = Annotated[
    float | None, typer.Option(help="A of PSP: 0.5 for Wikipedia, 0.6 for Amazon, 0.55 by default.")
]
BOption = Annotated[
    float | None, typer.Option(help="B of PSP: 0.4 for Wikipedia, 2.6 for Amazon, 1.5 by default.")
]
RoundsOption = Annotated[
    int | None, typer.Option(min=0, help="Bootstrap rounds, 1000 by default; 0 prints no intervals.")
]
LevelOption = Annotated[float | None, typer.Option(help="Confidence level; 0.95 by default.")]
SeedOption = Annotated[int | None, typer.Option(min=0, help="Seed of the bootstrap; 0 by default.")]
PerLabelOption = Annotated[
    Path | None,
    typer.Option(
        "--per-label",
        metavar="FILE",
        help="Write precision, recall and F1 of each label at each k to this file, .csv or .parquet.",
    ),
]
StyleOption = Annotated[Style, typer.Option("--format", help="Format of the printed tables.")]


# Long: Typer reads its options from the signature.
def evaluate(
    context: typer.Context,
    recipe_argument: RecipeArgument = None,
    recipe: RecipeOption = None,
    settings: SetOption = None,
    predictions: PredictionsOption = None,
    compare: CompareOption = None,
    truth: TruthOption = None,
    train: TrainOption = None,
    filter_: FilterOption = None,
    shards: ShardsOption = None,
    k: RanksOption = None,
    bins: BinsOption = None,
    a: AOption = None,
    b: BOption = None,
    rounds: RoundsOption = None,
    level: LevelOption = None,
    seed: SeedOption = None,
    per_label: PerLabelOption = None,
    store: StoreOption = STORE,
    force: ForceOption = False,
    verify: VerifyOption = True,
    style: StyleOption = Style.text,
    as_json: JsonOption = False,
) -> None:
    """Measure predictions: metrics with confidence intervals, and by label frequency.

    The popularity baseline is printed next to them.
    """
    recipe = at_most_one_recipe(recipe_argument, recipe)
    if recipe is not None and is_file(recipe) and Path(recipe).exists():
        raise XmcpipeError(
            f"expected a recipe, got the file or folder {recipe}", f"name it with --predictions {recipe}"
        )
    if predictions is not None and compare is not None:
        raise XmcpipeError("expected one of --predictions and --compare, got both", "omit one of them")
    systems = None if compare is None else systems_of(compare, settings, store)
    if per_label is not None:
        require_ending(per_label)
    ranks = None if k is None else _ranks(k)
    table = only_set(k=ranks, bins=bins, a=a, b=b, rounds=rounds, level=level, seed=seed)
    files = _files(predictions, systems, truth, train, filter_)
    of_recipes = compare is not None and list(map(str, systems or ())) != list(compare)
    _refuse_ignored(context, files, compare is not None, of_recipes, as_json)
    if files is None and systems is None:
        artifacts = {"predictions": predictions, "shards": shards}
        outcome = run_stage("eval", recipe, settings, store, force, {"eval": table}, artifacts, verify)
        if per_label is not None:
            # The stage stores no figures of labels, so its predictions are measured once more.
            measured = predictions or artifact_of_recipe(str(recipe), settings, store, "predictions").path
            config = read_recipe(recipe, settings, {"eval": {**table, "rounds": 0}}).configs["eval"]
            evaluate_files(inputs_of((measured,), shards, store), config, per_label)
        _print_outcome(outcome, style, as_json)
        return
    # Artifacts were measured with constants of their own recipe; what the user sets here has priority.
    if files is None and systems and recipe is None:
        keys = (setting.split("=")[0].removeprefix("eval.").strip() for setting in settings or ())
        table |= constants_of(systems, store, {"a", "b", "propensity"} - {*table, *keys})
    config = read_recipe(recipe, settings, {"eval": table}).configs["eval"]
    if systems is None:
        assert files, "without files or --compare the stage has run"
        _print(evaluate_files(files, config, per_label), print_metrics, style, as_json)
    else:
        files = files or inputs_of(systems, shards, store)
        _print(compare_files(files, config), print_comparison, style, as_json)


def _print_outcome(outcome: Outcome, style: Style, as_json: bool) -> None:
    """Print what the stage did, and its metrics."""
    metrics = metrics_of(outcome)
    if as_json:
        print_json({**outcome_facts(outcome), "metrics": metrics})
        return
    if style is Style.text:
        report(outcome, as_json=False)
    print_metrics(metrics, style)


def _print(
    facts: dict[str, Any], print_tables: Callable[[dict[str, Any], str], None], style: Style, as_json: bool
) -> None:
    for warning in facts["warnings"]:
        echo(f"warning: {warning}", err=True)
    if as_json:
        print_json(facts)
    else:
        print_tables(facts, style)


def metrics_of(outcome: Outcome) -> dict[str, Any]:
    """The contents of metrics.json of an eval stage's artifact. Raises XmcpipeError if it is damaged."""
    require_whole_now(outcome.artifact)
    return read_metrics(outcome.artifact.path)


def _files(
    predictions: Path | None,
    compare: tuple[Path, Path] | None,
    truth: Path | None,
    train: Path | None,
    filter_: Path | None,
) -> EvalInputs | None:
    """The files to measure; None if only artifacts are named."""
    if truth is not None:
        if predictions is None and compare is None:
            raise XmcpipeError("--truth needs --predictions or --compare", "name the predictions to measure")
        systems = compare or ((predictions,) if predictions else ())
        return EvalInputs(systems, truth, train, filter_)
    for option, path in (("--train", train), ("--filter", filter_)):
        if path is not None:
            raise XmcpipeError(f"{option} needs --truth", "name the true labels of the test set too")
    for path in compare or filter(None, [predictions]):
        if not path.is_dir():
            raise XmcpipeError(
                f"expected a recipe or the folder of an artifact, got {path}",
                "to measure a file, add --truth FILE",
            )
    return None


def _refuse_ignored(
    context: typer.Context, files: EvalInputs | None, comparing: bool, of_recipes: bool, as_json: bool
) -> None:
    """Raise XmcpipeError for an option on the command line that would have no effect."""
    reads_files = files is not None
    untrained = files is not None and files.train is None
    for option, ignored, why in (
        ("shards", reads_files, "with --truth, name the training labels with --train"),
        ("store", reads_files and not of_recipes, "files are measured without a store"),
        ("force", reads_files or comparing, "the result is not stored"),
        ("bins", comparing, "a comparison has no bins"),
        ("per_label", comparing, "a comparison has no figures of labels"),
        *((name, untrained, f"--{name} needs training labels: add --train") for name in ("bins", "a", "b")),
        ("style", as_json, "--json prints no tables"),
    ):
        source = context.get_parameter_source(option)
        if ignored and source is not None and source.name == "COMMANDLINE":
            name = "--format" if option == "style" else f"--{option.replace('_', '-')}"
            raise XmcpipeError(f"{name} would have no effect here: {why}", "omit it")


def _ranks(text: str) -> list[int]:
    try:
        return sorted(int(part) for part in text.split(","))
    except ValueError as error:
        raise XmcpipeError(f"expected integers, got --k {text!r}", "for example --k 1,3,5") from error
