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

from xmcpipe.artifacts.store import Artifact, Store
from xmcpipe.cli.options import (
    STORE,
    ForceOption,
    JsonOption,
    RecipeArgument,
    RecipeOption,
    SetOption,
    ShardsOption,
    StoreOption,
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
from xmcpipe.errors import XmcpipeError
from xmcpipe.measuring.files import EvalInputs
from xmcpipe.measuring.metrics_json import read_metrics
from xmcpipe.stages.evaluate import EvalConfig, compare_files, evaluate_files
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
    store: StoreOption = STORE,
    force: ForceOption = False,
    style: StyleOption = Style.text,
    as_json: JsonOption = False,
) -> None:
    """Measure predictions: metrics with confidence intervals, and by label frequency.

    The popularity baseline is printed next to them. Examples: `xmcpipe eval quickstart`, `xmcpipe eval
    --predictions P --truth T --train R`, `xmcpipe eval --compare A B`.
    """
    recipe = at_most_one_recipe(recipe_argument, recipe)
    if recipe is not None and _is_file(recipe) and Path(recipe).exists():
        raise XmcpipeError(
            f"expected a recipe, got the file or folder {recipe}", f"name it with --predictions {recipe}"
        )
    if predictions is not None and compare is not None:
        raise XmcpipeError("expected one of --predictions and --compare, got both", "omit one of them")
    systems = None if compare is None else _systems(compare, settings, store)
    ranks = None if k is None else _ranks(k)
    table = only_set(k=ranks, bins=bins, a=a, b=b, rounds=rounds, level=level, seed=seed)
    files = _files(predictions, systems, truth, train, filter_)
    of_recipes = compare is not None and list(map(str, systems or ())) != list(compare)
    _refuse_ignored(context, files, compare is not None, of_recipes, as_json)
    if files is None and systems is None:
        artifacts = {"predictions": predictions, "shards": shards}
        outcome = run_stage("eval", recipe, settings, store, force, {"eval": table}, artifacts)
        _print_outcome(outcome, style, as_json)
        return
    # Artifacts were measured with constants of their own recipe; what the user sets here has priority.
    if files is None and systems and recipe is None:
        keys = (setting.split("=")[0].removeprefix("eval.").strip() for setting in settings or ())
        table |= _constants(systems, store, {"a", "b", "propensity"} - {*table, *keys})
    config: EvalConfig = read_recipe(recipe, settings, {"eval": table}).configs["eval"]
    if systems is None:
        assert files, "without files or --compare the stage has run"
        _print(evaluate_files(files, config), print_metrics, style, as_json)
    else:
        files = files or _of_artifacts(systems, shards, store)
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
        typer.echo(f"warning: {warning}", err=True)
    if as_json:
        print_json(facts)
    else:
        print_tables(facts, style)


def metrics_of(outcome: Outcome) -> dict[str, Any]:
    """The contents of metrics.json of an eval stage's artifact."""
    return read_metrics(outcome.artifact.path)


def _systems(compare: tuple[str, str], settings: list[str] | None, store: Path) -> tuple[Path, Path]:
    """The folders or files of two systems; a recipe stands for its predictions in the store."""
    first, second = (
        Path(name) if _is_file(name) else artifact_of_recipe(name, settings, store, "predictions").path
        for name in compare
    )
    return first, second


def _is_file(name: str) -> bool:
    """Whether a name is that of a folder or file with predictions, and not of a recipe."""
    return Path(name).is_dir() or (Path(name).suffix not in ("", ".toml"))


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
        *((name, untrained, f"--{name} needs training labels: add --train") for name in ("bins", "a", "b")),
        ("style", as_json, "--json prints no tables"),
    ):
        source = context.get_parameter_source(option)
        if ignored and source is not None and source.name == "COMMANDLINE":
            name = "--format" if option == "style" else f"--{option}"
            raise XmcpipeError(f"{name} would have no effect here: {why}", "omit it")


def _constants(compare: tuple[Path, Path], store: Path, names: set[str]) -> dict[str, Any]:
    """The constants of PSP with which the two systems were measured, by key of [eval].

    `names` are those of a, b and propensity that the user did not set. Returns {} if the store has no metrics
    of the two systems. Raises XmcpipeError if they were measured with different constants.
    """
    systems = {Artifact.at(path).manifest.fingerprint for path in compare}
    tables = [
        {key: value for key, value in metrics.manifest.config.items() if key in names}
        for metrics in Store(store).all("metrics")
        if metrics.manifest.inputs.get("predictions") in systems
    ]
    if any(other != tables[0] for other in tables[1:]):
        raise XmcpipeError(
            f"the two systems were measured with {tables[0]} and "
            f"{next(other for other in tables if other != tables[0])}",
            "choose with --a and --b, or --recipe",
        )
    return tables[0] if tables else {}


def _of_artifacts(compare: tuple[Path, Path], shards: Path | None, store: Path) -> EvalInputs:
    """The inputs to compare two predictions artifacts: truth and training labels come from their shards.

    `shards` overrides the shards of the store. A baseline has none: its documents are joined by id with those
    of the other system. Raises XmcpipeError if the shards are missing or not the same.
    """
    manifests = [Artifact.at(path).manifest for path in compare]
    fingerprints = {name for manifest in manifests if (name := manifest.inputs.get("shards"))} or {""}
    if shards is None and len(fingerprints) > 1:
        raise XmcpipeError(
            f"{compare[0]} and {compare[1]} were predicted on different shards",
            "name the shards or files to measure both against, with --shards or --truth",
        )
    if shards is None:
        artifact = Store(store).find("shards", fingerprints.pop())
        if artifact is None:
            raise XmcpipeError(
                f"the shards that both were predicted on are not in {store}",
                "name the truth with --truth, or the shards with --shards",
            )
        shards = artifact.path
    return EvalInputs(compare, shards, shards)


def _ranks(text: str) -> list[int]:
    try:
        return sorted(int(part) for part in text.split(","))
    except ValueError as error:
        raise XmcpipeError(f"expected integers, got --k {text!r}", "for example --k 1,3,5") from error
