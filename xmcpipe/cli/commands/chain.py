"""`run` and `status`: make all artifacts of a recipe, or show which of them exist."""

import os
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from xmcpipe.artifacts.store import Store
from xmcpipe.cli.commands.evaluate import metrics_of
from xmcpipe.cli.options import (
    STORE,
    ForceOption,
    JsonOption,
    RecipeArgument,
    RecipeOption,
    SetOption,
    StoreOption,
    VerifyOption,
)
from xmcpipe.cli.output import (
    age,
    artifact_facts,
    attempt_facts,
    error_line,
    outcome_facts,
    print_json,
    print_metrics,
    print_outcome,
    print_step,
)
from xmcpipe.cli.session import one_recipe, open_chain, read_recipe, runner_of
from xmcpipe.cli.shown import echo
from xmcpipe.config import nearest
from xmcpipe.errors import XmcpipeError
from xmcpipe.recipe import unchecked
from xmcpipe.stages import catalog
from xmcpipe.stages.chain import Chain, ChainStep
from xmcpipe.stages.download import MAKERS


def _stage_names() -> list[str]:
    """The names of all stages. `--from train` names the stage, `--from ./train` a file or folder."""
    return [stage.name for stage in catalog.CATALOG]


def run(
    recipe_argument: RecipeArgument = None,
    recipe: RecipeOption = None,
    settings: SetOption = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="STAGE|FILE|FOLDER",
            help="Run this stage and all after it again; or read the dataset from this archive or folder, "
            "which you downloaded by hand.",
        ),
    ] = None,
    stop: Annotated[str | None, typer.Option("--to", metavar="STAGE", help="The last stage to run.")] = None,
    store: StoreOption = STORE,
    force: ForceOption = False,
    verify: VerifyOption = True,
    as_json: JsonOption = False,
) -> None:
    """Run a recipe from data to metrics. Artifacts that exist are reused."""
    name, tables = one_recipe(recipe_argument, recipe), None
    if start is not None and start not in _stage_names():
        tables, start = _archive(start, unchecked(name, settings or ())), None
    loaded = read_recipe(name, settings, tables)
    facts, metrics = [], None
    for outcome in runner_of(open_chain(loaded, store), verify).run(start, stop, force):
        facts.append(outcome_facts(outcome))
        if not as_json:
            print_outcome(outcome)
        if outcome.stage.kind == "metrics":
            metrics = metrics_of(outcome)
    if as_json:
        print_json({"recipe": loaded.name, "stages": facts, "metrics": metrics})
    elif metrics is not None:
        echo()
        print_metrics(metrics)
        if any(outcome["kind"] == "model" for outcome in facts):
            _print_next(name, settings or [], store)


def _print_next(recipe: str, settings: list[str], store: Path) -> None:
    """Print what to do with the trained model, as commands to be copied."""
    words = [recipe, *(word for setting in settings for word in ("--set", setting))]
    if store != Path(os.environ.get("XMCPIPE_STORE") or STORE):
        words += ["--store", str(store)]
    named = shlex.join(words)
    echo()
    echo(f"next  xmcpipe predict {named} --text '…'")
    echo(f"      xmcpipe report {named} -o report.html")


def status(
    recipe_argument: RecipeArgument = None,
    recipe: RecipeOption = None,
    settings: SetOption = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Check the sha256 of every file; exit with code 2 if one is missing or changed."
        ),
    ] = False,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Show the chain of a recipe: which artifacts exist, their sizes, ages and figures.

    A stage is "running" while a process works on it, and "stopped" if it can be resumed.
    """
    loaded = read_recipe(one_recipe(recipe_argument, recipe), settings)
    chain, now = open_chain(loaded, store), datetime.now(UTC)
    steps = chain.steps()
    attempts = {step.stage.name: _attempt(chain, step) for step in steps if step.artifact is None}
    faults = {step.stage.name: _faults(step, store) for step in steps} if verify else {}
    if as_json:
        stages = [_facts(step, now, faults.get(step.stage.name), attempts) for step in steps]
        print_json({"recipe": loaded.name, "stages": stages})
    else:
        for step in steps:
            print_step(step, now, attempts.get(step.stage.name))
    for step in steps:
        for fault in faults.get(step.stage.name, []):
            error_line(f"{step.stage.name}: {fault} (run `xmcpipe {step.stage.name} --force`)")
    if any(faults.values()):
        raise typer.Exit(2)
    if verify and not as_json:
        present = sum(step.artifact is not None for step in steps)
        echo(f"verified: all files of {present} artifacts are unchanged")


def _faults(step: ChainStep, store: Path) -> list[str]:
    """The faults of the artifact of `step`, or of the folder that is no artifact because of its manifest."""
    if step.artifact is not None:
        return step.artifact.faults()
    if step.fingerprint is None and step.stage.inputs:
        return []  # which folder would be its own isn't known before an earlier stage has run
    return Store(store).broken(step.stage.kind, step.fingerprint)


def _archive(source: str, recipe: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The table with which `--from FILE` or `--from FOLDER` changes the recipe.

    `recipe` is unchecked, because its own dataset may be one that `source` replaces. Raises XmcpipeError for
    a name that looks like a stage but is none, and if the recipe reads no archive.
    """
    stages, path = [name for name in _stage_names() if name in recipe], Path(source)
    if not path.exists() and path.suffix == "" and len(path.parts) == 1:
        raise XmcpipeError(
            f"--from {source}: expected a stage of this chain, a file or a folder, got {source!r}",
            nearest(source, stages),
        )
    if "download" not in recipe:
        raise XmcpipeError(
            f"--from {source}: expected a recipe with a table [download], got one without",
            "name the files to import instead: --set import.train=FILE or --set import.folder=FOLDER",
        )
    download = recipe["download"]
    if isinstance(download, Mapping) and str(download.get("dataset")) in MAKERS:
        raise XmcpipeError(
            f"--from {source}: the dataset {download['dataset']} can't be read from a file",
            f"omit --from, or name a stage: {', '.join(stages)}",
        )
    return {"download": {"archive": source}}


def _attempt(chain: Chain, step: ChainStep) -> dict[str, Any] | None:
    """The unfinished attempt of a step, None if there is none."""
    attempt = chain.store.attempt(step.stage.kind, chain.attempt_name(step))
    return None if attempt is None else attempt_facts(attempt, step.stage)


def _facts(
    step: ChainStep, now: datetime, faults: list[str] | None, attempts: Mapping[str, dict[str, Any] | None]
) -> dict[str, Any]:
    if step.artifact is None:
        facts: dict[str, Any] = {
            "stage": step.stage.name,
            "kind": step.stage.kind,
            "fingerprint": step.fingerprint,
        }
        return {**facts, "state": "missing", "attempt": attempts[step.stage.name]}
    facts = {**artifact_facts(step.artifact), "state": "present", "age_seconds": age(step.artifact, now)}
    return facts if faults is None else {**facts, "faults": faults}
