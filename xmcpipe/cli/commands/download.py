"""`download`: fetches a public dataset into the store, with or without a recipe."""

from pathlib import Path
from typing import Annotated

import typer

from xmcpipe.cli.options import STORE, ForceOption, JsonOption, RecipeOption, SetOption, StoreOption
from xmcpipe.cli.session import at_most_one_recipe, only_set, report, run_stage
from xmcpipe.data import registry
from xmcpipe.recipe import packaged_recipes
from xmcpipe.stages.download import MAKERS


def download(
    dataset: Annotated[
        str | None,
        typer.Argument(
            metavar="DATASET|RECIPE",
            help="A name that `xmcpipe datasets` lists, debian or synthetic; or a recipe with a dataset.",
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
    if dataset is not None and _is_recipe(dataset):
        dataset, recipe = None, at_most_one_recipe(dataset, recipe)
    tables = {"download": only_set(dataset=dataset, archive=archive)}
    report(run_stage("download", recipe, settings, store, force, tables), as_json)


def _is_recipe(name: str) -> bool:
    """Whether `name` is that of a recipe. A name of both means the dataset."""
    if name in registry.datasets() or name in MAKERS:
        return False
    return name.endswith(".toml") or name in packaged_recipes() or len(Path(name).parts) > 1
