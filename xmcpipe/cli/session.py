"""Turns the options of a command into a chain of stages, runs one stage, and prints its outcome."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xmcpipe.api.chains import open_chain as open_chain
from xmcpipe.artifacts.store import Artifact
from xmcpipe.cli.output import outcome_facts, print_json, print_outcome
from xmcpipe.errors import XmcpipeError
from xmcpipe.recipe import Recipe, load
from xmcpipe.stages.chain import Chain
from xmcpipe.stages.runner import Outcome, Runner


def read_recipe(
    name_or_file: str | None,
    settings: list[str] | None,
    tables: Mapping[str, Mapping[str, Any]] | None = None,
) -> Recipe:
    """Load the recipe that --recipe and --set describe; `tables` holds the keys that other options set.

    Without a recipe, only `tables` and the defaults count. Raises XmcpipeError for a recipe that does not
    exist or is not valid.
    """
    return load(name_or_file, settings or (), tables)


def runner_of(chain: Chain, verify: bool = True) -> Runner:
    """A runner that records the command line in the manifests; `verify` as in Runner."""
    return Runner(chain, ["xmcpipe", *sys.argv[1:]], verify)


def run_stage(
    name: str,
    recipe: str | None,
    settings: list[str] | None,
    store: Path,
    force: bool,
    tables: Mapping[str, Mapping[str, Any]] | None = None,
    inputs: Mapping[str, Path | None] | None = None,
    verify: bool = True,
) -> Outcome:
    """Run one stage, with or without a recipe; the last three are as in the functions above."""
    loaded = read_recipe(recipe, settings, {name: {}, **(tables or {})})
    return runner_of(open_chain(loaded, store, inputs), verify).run_one(name, force)


def report(outcome: Outcome, as_json: bool) -> None:
    """Print the outcome of a stage: one line, or JSON."""
    if as_json:
        print_json(outcome_facts(outcome))
    else:
        print_outcome(outcome)


def one_recipe(argument: str | None, option: str | None) -> str:
    """The recipe from the argument or from --recipe. Raises XmcpipeError for neither or both."""
    if (argument is None) == (option is None):
        got = "none" if argument is None else "two"
        raise XmcpipeError(f"expected one recipe, got {got}", "name one: its path, or for example quickstart")
    return str(argument or option)


def at_most_one_recipe(argument: str | None, option: str | None) -> str | None:
    """The recipe from the argument or from --recipe, if any. Raises XmcpipeError for both."""
    if argument is not None and option is not None:
        raise XmcpipeError("expected one recipe, got two", "omit the argument or --recipe")
    return argument or option


def artifact_of_recipe(name: str, settings: list[str] | None, store: Path, kind: str) -> Artifact:
    """The artifact of `kind` that a recipe made. Raises XmcpipeError if it isn't in the store."""
    steps = open_chain(read_recipe(name, settings), store).steps()
    step = next((step for step in steps if step.stage.kind == kind), None)
    if step is None:
        raise XmcpipeError(f"{name} makes no {kind}", "add the table of the stage to the recipe")
    if step.artifact is None:
        raise XmcpipeError(
            f"{name} has no {kind} in the store {store} yet",
            f"run `xmcpipe run {name}` first, with the same --set and --store",
        )
    return step.artifact


def only_set(**keys: Any) -> dict[str, Any]:
    """Only those options that the user set, as keys of a table of the recipe."""
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in keys.items()
        if value is not None and value != () and value != []
    }
