"""`download`: fetches a public dataset into the store, with or without a recipe."""

from typing import Annotated

import typer

from xmcpipe.cli.options import STORE, ForceOption, JsonOption, RecipeOption, SetOption, StoreOption
from xmcpipe.cli.session import only_set, report, run_stage


def download(
    dataset: Annotated[
        str | None,
        typer.Argument(
            metavar="DATASET",
            help="A name that `xmcpipe datasets` lists, debian or synthetic; by default that of the recipe.",
        ),
    ] = None,
    archive: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FILE|FOLDER",
            help="Read this archive, or its unpacked folder, which you downloaded by hand.",
        ),
    ] = None,
    recipe: RecipeOption = None,
    settings: SetOption = None,
    store: StoreOption = STORE,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fetch a public dataset into the store."""
    tables = {"download": only_set(dataset=dataset, archive=archive)}
    report(run_stage("download", recipe, settings, store, force, tables), as_json)
