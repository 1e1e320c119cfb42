"""`plan`: predicts the memory of a training, before anything runs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from xmcpipe.artifacts.store import Artifact
from xmcpipe.cli.options import (
    STORE,
    ClustersOption,
    JsonOption,
    RecipeArgument,
    RecipeOption,
    SetOption,
    ShardsOption,
    StoreOption,
)
from xmcpipe.cli.output import print_json
from xmcpipe.cli.published import shape_of_download
from xmcpipe.cli.session import at_most_one_recipe, open_chain, read_recipe
from xmcpipe.cli.shown import echo
from xmcpipe.cli.text_table import print_table, say
from xmcpipe.errors import XmcpipeError
from xmcpipe.memory.plan_cache import cached_plan
from xmcpipe.memory.recipe_plan import RecipePlan
from xmcpipe.memory.shape import DataShape
from xmcpipe.stages.chain import Chain

if TYPE_CHECKING:
    from xmcpipe.memory.predicted import Plan

GIB, GB = 1 << 30, 10**9
GIGA, TERA = 10**9, 10**12
COPIES = 10  # number of timed copies; the fastest one gives the bandwidth
MOST_LABELS, MOST_DOCUMENTS, MOST_TOKENS = 2**31 - 1, 2**40, 2**20  # label ids have 32 bits
Device = Literal["cuda", "cpu"]


# Long: Typer reads its options from the signature.
def plan(
    recipe_argument: RecipeArgument = None,
    recipe: RecipeOption = None,
    settings: SetOption = None,
    labels: Annotated[
        int,
        typer.Option(
            "--labels",
            min=0,
            max=MOST_LABELS,
            show_default=False,
            help="Number of labels L; by default that of the data.",
        ),
    ] = 0,
    documents: Annotated[
        int,
        typer.Option(
            "--documents",
            min=0,
            max=MOST_DOCUMENTS,
            show_default=False,
            help="Number of documents N; by default that of the data.",
        ),
    ] = 0,
    tokens: Annotated[
        int,
        typer.Option(
            "--tokens",
            min=0,
            max=MOST_TOKENS,
            show_default=False,
            help="Tokens of the longest document; by default those of the shards.",
        ),
    ] = 0,
    positives: Annotated[
        float,
        typer.Option(
            "--positives",
            min=0,
            max=MOST_LABELS,
            show_default=False,
            help="Labels per document; by default the mean of the shards.",
        ),
    ] = 0.0,
    clusters: Annotated[
        int,
        typer.Option(
            "--num-clusters",
            min=0,
            max=MOST_LABELS,
            show_default=False,
            help="Number of clusters C; by default that of the recipe.",
        ),
    ] = 0,
    device: Annotated[
        Device, typer.Option("--device", help="Device that the training will run on.")
    ] = "cuda",
    bandwidth: Annotated[
        float,
        typer.Option(
            "--bandwidth",
            metavar="GB/S",
            min=0,
            show_default=False,
            help="Memory bandwidth in GB/s, used to print the lower bound on step time.",
        ),
    ] = 0.0,
    tflops: Annotated[
        float,
        typer.Option(
            "--tflops",
            metavar="TFLOP/S",
            min=0,
            show_default=False,
            help="Speed that the encoder reaches in 16 bits; with the bandwidth, used to print times.",
        ),
    ] = 0.0,
    measure: Annotated[
        bool,
        typer.Option(
            "--measure", help="Measure the memory bandwidth of this machine instead of reading --bandwidth."
        ),
    ] = False,
    shards_artifact: ShardsOption = None,
    clusters_artifact: ClustersOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Predict the peak memory of a training, by part, and the lower bound on step time.

    The sizes of the data are those that options state, or those of the shards in the store, or the published
    ones of the dataset that the recipe downloads.
    """
    loaded = read_recipe(at_most_one_recipe(recipe_argument, recipe), settings, {"train": {}})
    chain = open_chain(loaded, store, {"shards": shards_artifact, "clusters": clusters_artifact})
    stated = DataShape(labels, documents, tokens, positives, clusters)
    # With --labels alone the recipe's own data is ignored: the plan is of other data.
    other_data = labels and shards_artifact is None
    artifacts = existing_artifacts(chain, () if other_data else ("shards", "clusters"))
    if not other_data and "shards" not in artifacts:
        stated = stated.or_else(shape_of_download(loaded.configs))
    planned = cached_plan(loaded.configs, artifacts, stated, device)
    speed = _copy_speed(device) if measure else bandwidth * GB
    if as_json:
        print_json(_facts(planned, speed, tflops * TERA))
    else:
        _print(planned, speed, tflops * TERA)


def existing_artifacts(chain: Chain, kinds: tuple[str, ...]) -> dict[str, Artifact]:
    """Those artifacts of these kinds that exist, by kind."""
    artifacts = {}
    for kind in kinds:
        try:
            artifact = chain.input(kind)[1]
        except (KeyError, XmcpipeError):  # the recipe doesn't make it, or its files don't exist
            artifact = None
        if artifact is not None:
            artifacts[kind] = artifact
    return artifacts


def _copy_speed(device: str) -> float:
    """Memory bandwidth of this machine, in bytes per second: a copy reads and writes a large tensor."""
    from xmcpipe.benchmark.timing import Clock
    from xmcpipe.modeling.devices import pick_device

    clock = Clock(pick_device(device))
    best = min(clock.milliseconds(clock.copy) for _ in range(COPIES))
    return 1000.0 * clock.copied_bytes / best


def _facts(planned: RecipePlan, speed: float, flops: float) -> dict[str, Any]:
    """The plans in JSON types; `speed` in bytes per second and `flops` per second, 0 if unknown."""
    plans = [
        {
            "memory": each.memory,
            "device": each.device,
            "device_bytes": {**each.parts, "total": each.total},
            "most_bytes": each.part_peaks,
            "host_bytes": {**(host := _host(planned, each)), "total": sum(host.values())},
            "floor": {
                **asdict(each.floor),
                "seconds": each.floor.seconds(speed) if speed else None,
            },
            "encoder_flops": each.encoder_flops,
            "step_seconds": each.seconds(speed, flops) if speed and flops else None,
        }
        for each in planned.plans
    ]
    return {
        "data": asdict(planned.data),
        "batch": planned.batch,
        "encoder": planned.encoder,
        "bytes_per_second": speed or None,
        "flops_per_second": flops or None,
        "steps": {"an_epoch": planned.steps[0], "all": planned.steps[1]},
        "auto": planned.chosen,
        "warnings": planned.warnings,
        "plans": plans,
    }


def _print(planned: RecipePlan, speed: float, flops: float) -> None:
    data, plans = planned.data, planned.plans
    say(
        f"{data.labels:,} labels · batch {planned.batch:,} x {data.tokens:,} tokens · {planned.encoder} · "
        f"{plans[0].device} · memory = {plans[0].memory!r} (GiB)"
    )
    echo()
    print_table(("on the device", *(each.memory for each in plans)), _rows([each.parts for each in plans]))
    print_table(
        ("on the host", *(each.memory for each in plans)), _rows([_host(planned, each) for each in plans])
    )
    if planned.chosen:
        say("chosen: " + ", ".join(f"{key} {value}" for key, value in planned.chosen.items()))
    for each in plans:
        say(f"{each.memory}: {_floor_line(each, speed)}")
        if speed and flops:
            say(f"{each.memory}: {_time_line(each, each.seconds(speed, flops), planned.steps)}")
    for line in planned.warnings:
        echo(f"warning: {line}", err=True)


def _host(planned: RecipePlan, plan: "Plan") -> dict[str, int]:
    """Bytes on the host by part, including the process itself."""
    return {"process": planned.process, **plan.host}


def _rows(columns: Sequence[Mapping[str, int]]) -> list[tuple[str, ...]]:
    """Rows of a table: each part that occurs in a column, in GiB, and the totals."""
    names = dict.fromkeys(name for column in columns for name in column)
    rows = [(name, *(_gib(column.get(name, 0)) for column in columns)) for name in _ordered(names)]
    return [*rows, ("total", *(_gib(sum(column.values())) for column in columns))]


def _ordered(names: Iterable[str]) -> list[str]:
    from xmcpipe.memory.parts import PARTS

    return sorted(names, key=lambda name: PARTS.index(name) if name in PARTS else len(PARTS))


def _gib(count: int) -> str:
    return f"{count / GIB:,.3f}" if count else "-"


def _floor_line(plan: "Plan", speed: float) -> str:
    floor = plan.floor
    line = (
        f"a classifier step moves at least {floor.bytes / GB:,.3f} GB and computes "
        f"{floor.flops / GIGA:,.1f} GFLOP ({floor.dense_flops / GIGA:,.1f} as dense tiles)"
    )
    return f"{line}: {1000 * floor.seconds(speed):,.3f} ms at {speed / GB:,.0f} GB/s" if speed else line


def _time_line(plan: "Plan", step: float, steps: tuple[int, int]) -> str:
    flops, milliseconds = plan.encoder_flops / TERA, 1000 * step
    line = f"with {flops:,.3f} TFLOP of the encoder at least {milliseconds:,.1f} ms per step"
    if not steps[0]:
        return line
    minutes, hours = step * steps[0] / 60, step * steps[1] / 3600
    return f"{line}, {minutes:,.1f} minutes per epoch, {hours:,.1f} hours in total"
