"""`report`: writes one or several runs as one self-contained HTML page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from xmcpipe.artifacts.store import Artifact, Store
from xmcpipe.artifacts.verified import require_whole
from xmcpipe.cli.options import STORE, JsonOption, SetOption, StoreOption, VerifyOption
from xmcpipe.cli.output import print_json, size
from xmcpipe.cli.session import open_chain, read_recipe
from xmcpipe.cli.shown import echo
from xmcpipe.cli.text_table import say
from xmcpipe.errors import XmcpipeError
from xmcpipe.progress import progress
from xmcpipe.report.facts.beside import with_baselines
from xmcpipe.report.facts.runs import Run, metrics_of, named, read_run

RunsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN",
        help="Recipes (name or file) that have run, or folders of metrics, predictions or models.",
    ),
]
OutputOption = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="HTML file to write.")]
NamesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--name", metavar="NAME", help="Name of a run on the page; repeat it for each run, in the same order."
    ),
]
DocumentsOption = Annotated[
    int,
    typer.Option(
        "--documents", min=0, metavar="N", help="Number of test documents to show, drawn at random."
    ),
]
BootstrapOption = Annotated[
    int,
    typer.Option(
        "--bootstrap",
        min=0,
        metavar="N",
        help="Number of bootstrap rounds for the confidence intervals; 0 for none.",
    ),
]
SeedOption = Annotated[
    int, typer.Option("--seed", min=0, help="Seed of the drawn documents and of the bootstrap.")
]
BaselinesOption = Annotated[
    bool,
    typer.Option(
        "--baselines/--no-baselines",
        help="Also show the baselines in the store that were measured on the same data.",
    ),
]


def report(
    runs: RunsArgument,
    output: OutputOption = Path("report.html"),
    names: NamesOption = None,
    settings: SetOption = None,
    documents: DocumentsOption = 1000,
    bootstrap: BootstrapOption = 1000,
    seed: SeedOption = 0,
    baselines: BaselinesOption = True,
    store: StoreOption = STORE,
    verify: VerifyOption = True,
    as_json: JsonOption = False,
) -> None:
    """Show one or several runs on one HTML page: figures, curves, memory, topology, documents, settings."""
    from xmcpipe.report.make import ReportOptions, make_report  # loads NumPy

    shown = named(_distinct_runs(runs, settings, store), names or ())
    if baselines:
        shown = with_baselines(shown, Store(store))
    if verify:
        _require_whole(shown)
    facts = make_report(shown, ReportOptions(documents, bootstrap, seed), output)
    if as_json:
        print_json(facts)
        return
    sample = f"{facts['documents']:,} documents" if facts["documents"] else "no documents"
    run_names = ", ".join(each["name"] for each in facts["runs"])
    say(f"{output}  {size(facts['bytes'])}  {run_names} · {sample}")
    for note in facts["notes"]:
        echo(note, err=True)


def _require_whole(runs: Sequence[Run]) -> None:
    """Raise XmcpipeError, which names the file, if an artifact that the page would show was changed."""
    artifacts = {artifact.path: artifact for run in runs for artifact in run.artifacts.values()}
    with progress("verify", len(artifacts), "artifacts") as bar:
        for artifact in artifacts.values():
            require_whole(artifact)
            bar.update()


def _distinct_runs(runs: list[str], settings: list[str] | None, store: Path) -> list[Run]:
    """The runs that were named. Raises XmcpipeError if two of them have the same metrics."""
    metrics = [_metrics(run, settings, store) for run in runs]
    folders = [artifact.path.resolve() for artifact, _ in metrics]
    for at, folder in enumerate(folders):
        if folder in folders[:at]:
            raise XmcpipeError(f"expected distinct runs, got {runs[at]} twice", "name each run once")
    return [read_run(artifact, Store(store), recipe=name) for artifact, name in metrics]


def _metrics(run: str, settings: list[str] | None, store: Path) -> tuple[Artifact, str]:
    """The metrics artifact of a recipe or a folder, and the name of the recipe; "" for a folder."""
    path = Path(run)
    if path.is_dir():
        return metrics_of(path, Store(store)), ""
    recipe = read_recipe(run, settings)
    steps = open_chain(recipe, store).steps()
    metrics = next((step.artifact for step in steps if step.stage.kind == "metrics"), None)
    if metrics is None:
        evaluated = any(step.stage.kind == "metrics" for step in steps)
        raise XmcpipeError(
            f"{run} has no metrics in the store {store} yet" if evaluated else f"{run} has no table [eval]",
            f"run `xmcpipe run {run}` first, with the same --set and --store"
            if evaluated
            else "add [eval], and [predict], to the recipe and run it",
        )
    return metrics, recipe.name
