"""`datasets`: the registered datasets, their sizes, their local copies, and the memory of their recipes."""

from dataclasses import asdict
from typing import Any

from xmcpipe.artifacts.store import Artifact, Store
from xmcpipe.cli.options import STORE, JsonOption, StoreOption
from xmcpipe.cli.output import print_json, size
from xmcpipe.cli.published import published_shape
from xmcpipe.cli.shown import echo
from xmcpipe.data.registry import Dataset
from xmcpipe.data.registry import datasets as registered
from xmcpipe.errors import XmcpipeError
from xmcpipe.memory.plan_cache import cached_plan
from xmcpipe.recipe import load, packaged_recipes

GIB = 1 << 30
HEADER = ("dataset", "train", "test", "labels", "archive", "local", "GPU (GiB)")


def datasets(store: StoreOption = STORE, as_json: JsonOption = False) -> None:
    """List the public datasets that `download` knows, and which of them are on this machine.

    The last column predicts the GPU memory of a training with the recipe of the same name.
    """
    raw = list(Store(store).all("raw"))
    every = [_facts(dataset, raw) for dataset in registered().values()]
    if as_json:
        print_json(every)
        return
    from xmcpipe.cli.text_table import print_table

    print_table(HEADER, [_row(facts) for facts in every], folded=[HEADER.index("local")])
    for facts in every:
        if facts["plan"] and facts["plan"]["fault"]:
            echo(f"{facts['name']}: no memory plan: {facts['plan']['fault']}", err=True)


def _facts(dataset: Dataset, artifacts: list[Artifact]) -> dict[str, Any]:
    """One dataset in JSON types; `artifacts` are all raw artifacts of the store."""
    # Imported here because it loads an HTTP client, which `--help` must not.
    from xmcpipe.data.fetch.archives import CachedArchive, folder_of

    cached = [CachedArchive(folder_of(dataset), mirror) for mirror in dataset.mirrors]
    archives = [
        {"path": str(each.archive), "bytes": each.archive.stat().st_size}
        for each in cached
        if each.archive.is_file()
    ]
    raw = [
        {"path": str(each.path), "version": each.manifest.figures.get("version")}
        for each in artifacts
        if each.manifest.config.get("dataset") == dataset.name
    ]
    return {**asdict(dataset), "archives": archives, "raw": raw, "plan": _plan(dataset)}


def _plan(dataset: Dataset) -> dict[str, Any] | None:
    """The predicted GPU memory, in bytes, of the recipe named like the dataset; None without one."""
    path = packaged_recipes().get(dataset.name)
    if path is None:
        return None
    try:
        total = cached_plan(load(str(path)).configs, {}, published_shape(dataset), "cuda").plans[0].total
    except XmcpipeError as error:
        return {"recipe": str(path), "bytes": None, "fault": str(error)}
    return {"recipe": str(path), "bytes": total, "fault": None}


def _row(facts: dict[str, Any]) -> tuple[str, ...]:
    counts, plan = facts["versions"][0], facts["plan"]
    sizes = [each["bytes"] for each in [*facts["archives"], *facts["mirrors"]] if each["bytes"]]
    known = {version["name"] for version in facts["versions"]}
    of_known = any(each["version"] in known for each in facts["raw"])
    raw = "raw" if of_known else "raw of another version"
    local = [word for word, paths in ((raw, facts["raw"]), ("archive", facts["archives"])) if paths]
    return (
        facts["name"],
        *(f"{counts[key]:,}" if counts[key] else "-" for key in ("train", "test", "labels")),
        size(sizes[0]) if sizes else "-",
        " + ".join(local) or "-",
        f"{plan['bytes'] / GIB:.2f}" if plan and plan["bytes"] else "-",
    )
