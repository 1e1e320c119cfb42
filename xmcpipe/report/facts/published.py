"""Published figures, from published.toml, to show next to ours. The page marks them as quotations."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "published.toml"


@dataclass(frozen=True)
class Quoted:
    """A row of a published table.

    `figures` maps metric@k to per cent, without the figures that the table lacks; other values that it lacks
    are None. `source` names the paper and its tables, `paper` is the full title of the paper, and `machine`
    is the hardware. `epoch` is the time of an epoch in minutes:seconds, and `sparsity` is in per cent.
    """

    method: str
    source: str
    paper: str
    machine: str
    figures: dict[str, float]
    memory_gib: float | None = None
    epoch: str | None = None
    inference_ms: float | None = None
    sparsity: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Published:
    """The quoted rows of one dataset: `systems`, and `variants` (ablations) of one of them."""

    title: str
    systems: list[Quoted]
    variants: list[Quoted]

    @property
    def papers(self) -> dict[str, str]:
        """Short name -> full title and machine, for each quoted paper."""
        rows = [*self.systems, *self.variants]
        return {row.source.partition(", ")[0]: f"{row.paper}; {row.machine}" for row in rows}


def published(dataset: str | None) -> Published | None:
    """The quoted rows for a dataset, given the name or title of a registered one; None if there are none."""
    from xmcpipe.data.registry import datasets

    if dataset is None:
        return None
    known = datasets()
    title = known[dataset].title if dataset in known else dataset
    return _all().get(title)


def titles() -> list[str]:
    """The titles of the datasets with quoted rows."""
    return list(_all())


@cache
def _all() -> dict[str, Published]:
    """Title of a dataset -> its quoted rows."""
    table = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return {
        title: Published(
            title,
            *([_row(each, table["sources"]) for each in rows.get(key, [])] for key in ("rows", "variants")),
        )
        for title, rows in table["datasets"].items()
    }


def _row(row: dict[str, Any], sources: dict[str, dict[str, str]]) -> Quoted:
    """A row of published.toml; `sources` are its tables [sources.NAME]."""
    source = sources[row["source"]]
    tables = row.get("tables")
    where = f", Table{'s' if ',' in tables else ''} {tables}" if tables else ""
    return Quoted(
        method=row["method"],
        source=source["cite"] + where,
        paper=source["title"],
        machine=source["machine"],
        figures={key: float(value) for key, value in row.items() if "@" in key},
        memory_gib=row.get("memory_gib"),
        epoch=row.get("epoch"),
        inference_ms=row.get("inference_ms"),
        sparsity=row.get("sparsity"),
        note=row.get("note", ""),
    )
