"""Generates the command of each stage from the catalog, so a new stage needs no change here.

A generated command has the shared options, an option --KIND for each kind of artifact that the stage reads
(else it is read from the store), and the options that the stage itself declares. Stages whose command does
more than run the stage have a function of their own, listed in OWN.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from xmcpipe.cli.commands.baseline import baseline
from xmcpipe.cli.commands.download import download
from xmcpipe.cli.commands.evaluate import evaluate
from xmcpipe.cli.commands.importing import import_
from xmcpipe.cli.commands.model.grow import grow
from xmcpipe.cli.commands.predict import predict
from xmcpipe.cli.options import (
    STORE,
    ForceOption,
    JsonOption,
    RecipeArgument,
    RecipeOption,
    SetOption,
    StoreOption,
    VerifyOption,
    parameter,
    set_signature,
)
from xmcpipe.cli.session import at_most_one_recipe, report, run_stage
from xmcpipe.stages.stage import Option, Stage

OWN: dict[str, Callable[..., None]] = {
    "download": download,
    "import": import_,
    "grow": grow,
    "predict": predict,
    "baseline": baseline,
    "eval": evaluate,
}


def stage_command(stage: Stage) -> Callable[..., None]:
    """The function from which Typer makes the command of `stage`."""
    return OWN.get(stage.name) or _generated(stage)


def _generated(stage: Stage) -> Callable[..., None]:
    """A command that runs the stage, with a signature from which Typer reads its options."""

    def command(**values: Any) -> None:
        keys = {
            option.key: value
            for option in stage.options
            if (value := _value(option, values[option.key])) is not None
        }
        outcome = run_stage(
            stage.name,
            at_most_one_recipe(values["recipe_argument"], values["recipe"]),
            values["settings"],
            values["store"],
            values["force"],
            {stage.name: keys},
            {kind: values[kind] for kind in stage.inputs},
            values["verify"],
        )
        report(outcome, values["as_json"])

    set_signature(command, _parameters(stage))
    return command


def _parameters(stage: Stage) -> list[inspect.Parameter]:
    """The options of a stage's command, in the order of its help."""
    # A key of a recipe could be called `store`: its option would then hide the shared one of that name.
    shared = {"recipe_argument", "recipe", "settings", "store", "force", "verify", "as_json"}
    assert shared.isdisjoint({*stage.inputs, *(option.key for option in stage.options)}), stage.name
    return [
        parameter("recipe_argument", RecipeArgument, None),
        parameter("recipe", RecipeOption, None),
        parameter("settings", SetOption, None),
        *(parameter(kind, _input_option(kind), None) for kind in stage.inputs),
        *(parameter(option.key, *_own_option(option)) for option in stage.options),
        parameter("store", StoreOption, STORE),
        parameter("force", ForceOption, False),
        parameter("verify", VerifyOption, True),
        parameter("as_json", JsonOption, False),
    ]


def _input_option(kind: str) -> Any:
    help_text = f"Folder of the {kind} artifact to read; by default, that of the recipe in the store."
    return Annotated[Path | None, typer.Option(f"--{kind}", metavar="DIR", help=help_text)]


def _own_option(option: Option) -> tuple[Any, Any]:
    """The annotation and the default of one option that the stage declares."""
    if option.value is not None:
        return Annotated[bool, typer.Option(option.flag, help=option.help)], False
    own = typer.Option(option.flag, help=option.help, metavar=option.metavar, min=option.least)
    return Annotated[option.type | None, own], None


def _value(option: Option, value: Any) -> Any:
    """The value that the option gives to its key; None if the user did not set it."""
    if option.value is None:
        return value
    return option.value if value else None
