"""From a command's options to a chain of stages, and one stage of it run and reported."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from xmcpipe.artifacts.store import Artifact, Store
from xmcpipe.cli.output import outcome_facts, outcome_line, print_json
from xmcpipe.errors import XmcpipeError
from xmcpipe.recipe import Recipe, load
from xmcpipe.stages.chain import Chain
from xmcpipe.stages.runner import Outcome, Runner


def read_recipe(
    where: str | None,
    settings: list[str] | None,
    tables: Mapping[str, Mapping[str, Any]] | None = None,
) -> Recipe:
    """The recipe of a command's --recipe and --set; `tables` holds the keys that its other options set."""
    return load(where, settings or (), tables)


def open_chain(recipe: Recipe, store: Path, given: Mapping[str, Path | None] | None = None) -> Chain:
    """The chain of `recipe` in the store at `store`; `given` maps kinds to artifacts that the user named."""
    artifacts = {kind: Artifact.at(path) for kind, path in (given or {}).items() if path is not None}
    return Chain(Store(store), recipe.configs, artifacts)


def runner_of(chain: Chain) -> Runner:
    """A runner that records the command line in the manifests."""
    return Runner(chain, ["xmcpipe", *sys.argv[1:]])


def run_stage(
    name: str,
    recipe: str | None,
    settings: list[str] | None,
    store: Path,
    force: bool,
    tables: Mapping[str, Mapping[str, Any]] | None = None,
    given: Mapping[str, Path | None] | None = None,
) -> Outcome:
    """Run one stage of a recipe, or of none; `tables` holds the keys that the command's own options set."""
    loaded = read_recipe(recipe, settings, {name: {}, **(tables or {})})
    return runner_of(open_chain(loaded, store, given)).run_one(name, force)


def report(outcome: Outcome, as_json: bool) -> None:
    """Print the outcome of a stage: one line, or JSON."""
    if as_json:
        print_json(outcome_facts(outcome))
    else:
        typer.echo(outcome_line(outcome))


def one_recipe(argument: str | None, option: str | None) -> str:
    """The recipe that was named, as an argument or with --recipe. Raises XmcpipeError for none or both."""
    if (argument is None) == (option is None):
        got = "none" if argument is None else "two"
        raise XmcpipeError(f"expected one recipe, got {got}", "name one: its path, or for example quickstart")
    return str(argument or option)


def filled(**keys: Any) -> dict[str, Any]:
    """The options that the user set, as keys of a recipe's table."""
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in keys.items()
        if value is not None and value != () and value != []
    }
