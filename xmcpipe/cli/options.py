"""The options that several commands share: one name, one help text, one default."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from xmcpipe.cli.output import log_as_json

RecipeOption = Annotated[
    str | None,
    typer.Option(
        "--recipe", metavar="FILE|NAME", help="A recipe: a TOML file, or the name of a packaged one."
    ),
]
RecipeArgument = Annotated[
    str | None,
    typer.Argument(metavar="RECIPE", help="A recipe: a TOML file, or the name of a packaged one."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="STAGE.KEY=VALUE", help="Set one key of the recipe (repeatable)."),
]
StoreOption = Annotated[
    Path,
    typer.Option(
        "--store",
        metavar="DIR",
        envvar="XMCPIPE_STORE",
        help="The store: the folder of all artifacts.",
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Run the stage even if its artifact exists.")]
VerifyOption = Annotated[
    bool,
    typer.Option(
        "--verify/--no-verify", help="Compare the inputs' files with their checksums before they are read."
    ),
]


def _log_as_json(requested: bool) -> bool:
    log_as_json(requested)
    return requested


JsonOption = Annotated[
    bool,
    typer.Option(
        "--json",
        callback=_log_as_json,
        help="Print JSON on standard output; log lines on standard error, off a terminal, are JSON too.",
    ),
]

ShardsOption = Annotated[
    Path | None,
    typer.Option(
        "--shards",
        metavar="DIR",
        help="Folder of the shards to read; by default those of the recipe.",
    ),
]
ClustersOption = Annotated[
    Path | None,
    typer.Option(
        "--clusters",
        metavar="DIR",
        help="Folder of the clusters to read; by default those of the recipe.",
    ),
]
ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model", metavar="DIR", help="Folder of the model to read; by default that of the recipe."
    ),
]

CalibrationOption = Annotated[
    Path | None,
    typer.Option(
        "--calibration",
        metavar="DIR",
        help="Folder of the model's calibration; by default that of the recipe, or a copied model's own.",
    ),
]

STORE = Path("artifacts")


def with_options(options: Mapping[str, Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command `options`, by the names of their parameters, in the place of its `**keys`.

    Each is None unless the user sets it.
    """

    def with_these(command: Callable[..., None]) -> Callable[..., None]:
        parameters: list[inspect.Parameter] = []
        for each in inspect.signature(command).parameters.values():
            if each.kind is inspect.Parameter.VAR_KEYWORD:
                parameters += [parameter(name, annotation, None) for name, annotation in options.items()]
            else:
                parameters.append(each.replace(kind=inspect.Parameter.KEYWORD_ONLY))
        set_signature(command, parameters)
        return command

    return with_these


def parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    """A parameter from which Typer makes an option or argument."""
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def set_signature(command: Callable[..., None], parameters: Iterable[inspect.Parameter]) -> None:
    """Let Typer read these parameters: names and defaults from the signature, types from the annotations."""
    given = list(parameters)
    command.__signature__ = inspect.Signature(given)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in given}
