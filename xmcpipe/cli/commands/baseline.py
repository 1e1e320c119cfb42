"""`baseline`: trains another system on the data of a recipe, and prints it next to the recipe's model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from xmcpipe.artifacts.store import Store
from xmcpipe.artifacts.verified import require_whole_now
from xmcpipe.baselines.config import SystemName
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
from xmcpipe.cli.output import outcome_facts, print_json, print_outcome
from xmcpipe.cli.session import one_recipe, only_set, open_chain, read_recipe, runner_of
from xmcpipe.cli.shown import echo
from xmcpipe.cli.text_table import print_table, say
from xmcpipe.measuring.metrics_json import read_metrics
from xmcpipe.recipe import RAW, Recipe
from xmcpipe.stages import catalog
from xmcpipe.stages.chain import Chain

NAME = "baseline"  # of the stage
KINDS = ("shards", "metrics")  # that a chain with a baseline makes, besides raw data and predictions

SystemOption = Annotated[
    str | None,
    typer.Option(
        "--system",
        metavar="|".join(get_args(SystemName)),
        help="System to train: the most frequent labels, one linear classifier per label, or the label trees "
        "of a library. By default that of the recipe, else linear.",
    ),
]
TopOption = Annotated[
    int | None, typer.Option("--top", min=1, help="Number of labels to predict for each document.")
]
SeedOption = Annotated[int | None, typer.Option("--seed", min=0, help="Seed; omikuji has none.")]


def baseline(
    recipe_argument: RecipeArgument = None,
    system: SystemOption = None,
    recipe: RecipeOption = None,
    settings: SetOption = None,
    top: TopOption = None,
    seed: SeedOption = None,
    store: StoreOption = STORE,
    force: ForceOption = False,
    verify: VerifyOption = True,
    as_json: JsonOption = False,
) -> None:
    """Train and measure a baseline on the data of a recipe. Artifacts that exist are reused."""
    name = one_recipe(recipe_argument, recipe)
    keys = only_set(system=system, k=top, seed=seed)
    loaded = read_recipe(name, settings, {NAME: keys, "eval": {}})
    chain = baseline_chain(loaded, store)
    _require_library(chain, force)
    facts, metrics = [], {}
    for outcome in runner_of(chain, verify).run(start=NAME if force else None):
        facts.append(outcome_facts(outcome))
        if not as_json:
            print_outcome(outcome)
        if outcome.stage.kind == "metrics":
            metrics = metrics_of(outcome)
    own, shown = _own_metrics(loaded, store), loaded.configs[NAME].system
    if as_json:
        result = {"recipe": loaded.name, "system": shown, "stages": facts}
        print_json({**result, "metrics": metrics, "model": own})
        return
    echo()
    print_table(*_table(shown, metrics, own))
    say(_note(name, metrics, own))


def baseline_chain(recipe: Recipe, store: Path) -> Chain:
    """The chain of a baseline: the stages of the recipe's data, the baseline, and eval."""
    stages = {stage.name for stage in catalog.CATALOG if stage.kind in (RAW, *KINDS) or stage.name == NAME}
    configs = {name: config for name, config in recipe.configs.items() if name in stages}
    return Chain(Store(store), configs)


def _require_library(chain: Chain, force: bool) -> None:
    """Raise XmcpipeError now, not after a long download, if the library of a system to train is missing."""
    from xmcpipe.baselines.systems import SYSTEMS  # loads NumPy

    step = next(step for step in chain.steps() if step.stage.name == NAME)
    if force or step.artifact is None:
        SYSTEMS[step.config.system].require()


def _own_metrics(recipe: Recipe, store: Path) -> dict[str, Any] | None:
    """The metrics of the recipe's own model in the store, with the key `head`; None if there are none."""
    if not {"train", "predict"} <= recipe.configs.keys():
        return None
    chain = open_chain(recipe, store)
    artifact = chain.step(chain.stage("eval")).artifact
    if artifact is None:
        return None
    require_whole_now(artifact)
    return {**read_metrics(artifact.path), "head": recipe.configs["train"].head.kind}


def _table(
    system: str, metrics: Mapping[str, Any], own: Mapping[str, Any] | None
) -> tuple[list[str], list[list[str]]]:
    """Header and rows: the recipe's model, the baseline, their difference, and popularity; in per cent."""
    names = [f"{name}@{k}" for name in ("P", "PSP") for k in metrics["k"]]
    rows = [[system, *(f"{100 * metrics['model'][name]:.2f}" for name in names)]]
    if own is not None:
        difference = [f"{100 * (own['model'][name] - metrics['model'][name]):+.2f}" for name in names]
        rows.insert(0, [f"model ({own['head']})", *(f"{100 * own['model'][name]:.2f}" for name in names)])
        rows.append(["difference", *(cell.replace("-", "−") for cell in difference)])
    if system != "popularity":
        rows.append(["popularity", *(f"{100 * metrics['popularity'][name]:.2f}" for name in names)])
    return ["%", *names], rows


def _note(recipe: str, metrics: Mapping[str, Any], own: Mapping[str, Any] | None) -> str:
    """The line below the table: what to run next."""
    documents = f"{metrics['documents']:,} test documents, {metrics['labels']:,} labels"
    if own is None:
        return f"{documents}; `xmcpipe run {recipe}` adds the row of the model"
    return f"{documents}; `xmcpipe report {recipe}` has the intervals"
