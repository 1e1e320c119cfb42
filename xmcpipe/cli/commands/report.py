"""`report`: runs as one HTML page that opens anywhere."""

from pathlib import Path
from typing import Annotated

import typer

from xmcpipe.artifacts.store import Artifact, Store
from xmcpipe.cli.options import STORE, JsonOption, SetOption, StoreOption
from xmcpipe.cli.output import print_json, size
from xmcpipe.cli.session import open_chain, read_recipe
from xmcpipe.errors import XmcpipeError
from xmcpipe.report.runs import metrics_of, named, read_run


def report(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Recipes (name or file) that have run, or folders of metrics, predictions or models.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The page to write.")] = Path(
        "report.html"
    ),
    names: Annotated[
        list[str] | None,
        typer.Option("--name", help="What to call a run, one for each in their order (repeatable)."),
    ] = None,
    settings: SetOption = None,
    documents: Annotated[
        int, typer.Option("--documents", min=0, metavar="N", help="Test documents to show, drawn at random.")
    ] = 1000,
    bootstrap: Annotated[
        int, typer.Option("--bootstrap", min=0, metavar="N", help="Rounds for intervals; 0 for none.")
    ] = 1000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the documents drawn and of the rounds.")] = 0,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Show one or several runs on one HTML page: figures, curves, memory, topology, documents, settings."""
    from xmcpipe.report.make import Options, make_report  # loads NumPy

    opened = Store(store)
    metrics = [_metrics(run, settings, store) for run in runs]
    places = [each.path.resolve() for each in metrics]
    for at, place in enumerate(places):
        if place in places[:at]:
            raise XmcpipeError(f"{runs[at]} was given twice", "name each run once")
    found = [read_run(each, opened) for each in metrics]
    facts = make_report(named(found, names or ()), Options(documents, bootstrap, seed), output)
    if as_json:
        print_json(facts)
        return
    shown = f"{facts['documents']:,} documents" if facts["documents"] else "no documents"
    typer.echo(
        f"{output}  {size(facts['bytes'])}  {', '.join(each['name'] for each in facts['runs'])} · {shown}"
    )
    for note in facts["notes"]:
        typer.echo(note, err=True)


def _metrics(run: str, settings: list[str] | None, store: Path) -> Artifact:
    """The metrics artifact of a recipe or a folder."""
    path = Path(run)
    if path.is_dir():
        return metrics_of(path, Store(store))
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
    return metrics
