"""`tokenize`, `cluster`, `train`: one stage of a recipe, or of none, on artifacts from the store or named."""

from typing import Annotated

import typer

from xmcpipe.cli.options import (
    STORE,
    ClustersOption,
    ForceOption,
    JsonOption,
    RawOption,
    RecipeOption,
    SetOption,
    ShardsOption,
    StoreOption,
)
from xmcpipe.cli.session import report, run_stage


def tokenize(
    recipe: RecipeOption = None,
    settings: SetOption = None,
    raw: RawOption = None,
    store: StoreOption = STORE,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Turn texts into shards of token ids."""
    report(run_stage("tokenize", recipe, settings, store, force, given={"raw": raw}), as_json)


def cluster(
    recipe: RecipeOption = None,
    settings: SetOption = None,
    shards: ShardsOption = None,
    random: Annotated[
        bool, typer.Option("--random", help="A random partition: the same as --set cluster.method=random.")
    ] = False,
    store: StoreOption = STORE,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Partition the labels into balanced clusters, for the auxiliary loss."""
    tables = {"cluster": {"method": "random"}} if random else None
    report(run_stage("cluster", recipe, settings, store, force, tables, {"shards": shards}), as_json)


def train(
    recipe: RecipeOption = None,
    settings: SetOption = None,
    shards: ShardsOption = None,
    clusters: ClustersOption = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", metavar="N", min=1, help="Stop after N steps: --set train.max_steps=N."),
    ] = None,
    store: StoreOption = STORE,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train a model; a training that was killed goes on where it stopped."""
    tables = None if steps is None else {"train": {"max_steps": steps}}
    given = {"shards": shards, "clusters": clusters}
    report(run_stage("train", recipe, settings, store, force, tables, given), as_json)
