"""Figures as cells of tables: what stands in the page's first section, and below its charts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from xmcpipe.report.measured import Measured
from xmcpipe.report.published import Quoted
from xmcpipe.report.runs import Run

if TYPE_CHECKING:
    from xmcpipe.metrics import Difference

NONE = "–"
TENSORS, RESIDENT = "tensors (CPU)", "resident"  # what a run's memory may be of
GIB = 1 << 30


@dataclass(frozen=True)
class Cell:
    """`text` and, smaller below it, `below`; `strong` is the best of its column, or a significant one."""

    text: str = NONE
    below: str = ""
    strong: bool = False


@dataclass(frozen=True)
class Row:
    """`kind`: run, difference, baseline, quoted, or group (a line over the rows that follow)."""

    kind: str
    name: str
    below: str = ""
    cells: list[Cell] = field(default_factory=list)


@dataclass(frozen=True)
class Table:
    """Column heads and rows."""

    heads: list[str]
    rows: list[Row]


def headline(runs: Sequence[Run], measured: Sequence[Measured], quoted: Sequence[Quoted]) -> Table:
    """Every run with its intervals, its difference to the first, popularity, and the quoted rows."""
    metrics = shown_metrics(measured)
    counted = {taken[1] for run in runs if (taken := memory(run.figures("model")))}
    alike = counted != {TENSORS, RESIDENT}  # tensors of one run beside all of another's process mislead
    costs = [_costs(run, alike) for run in runs]
    # figures on other documents can't be better or worse
    rivals = [
        mine.figures for run, mine in zip(runs, measured, strict=True) if run.test_set == runs[0].test_set
    ]
    best = {name: max(each[name] for each in rivals) for name in metrics} if len(rivals) > 1 else {}
    rows = []
    for run, mine, cost in zip(runs, measured, costs, strict=True):
        best_here = best if run.test_set == runs[0].test_set else {}
        # the best as shown: what differs beyond the shown digits is no better
        cells = [
            _figure(mine, name, name in best_here and percent(mine.figures[name]) == percent(best_here[name]))
            for name in metrics
        ]
        rows.append(Row("run", run.name, "", cells + cost))
    for run, mine in zip(runs[1:], measured[1:], strict=True):
        if mine.differences:
            cells = [_difference(mine.differences.get(name)) for name in metrics]
            name = f"{run.name} − {runs[0].name}"
            rows.append(Row("difference", name, "paired difference", [*cells, *[Cell("")] * 3]))
    if popular := measured[0].popularity:
        cells = [Cell(percent(popular[name])) if name in popular else Cell() for name in metrics]
        of_all = len({run.test_set for run in runs}) == 1
        below = "the baseline" if of_all else f"on the test of {runs[0].name}"
        rows.append(Row("baseline", "popularity", below, [*cells, *[Cell("")] * 3]))
    if quoted:
        rows.append(Row("group", "Quoted as published, not measured here"))
    rows += [_quoted(each, metrics) for each in quoted]
    heads = [name.replace("macro_F1_tested", "macro F1") for name in metrics]
    return Table([*heads, "Memory", "Training", "Parameters"], rows)


def quoted_variants(rows: Sequence[Quoted]) -> Table:
    """Ablations as they were published, with the columns that they have."""
    names = [name for name in ("P@1", "P@3", "P@5") if any(name in each.figures for each in rows)]
    heads = [*names, "Memory", "Epoch", "Inference"]
    return Table(
        heads,
        [
            Row("quoted", each.method, each.source, [
                *(Cell(plain(each.figures.get(name))) for name in names),
                Cell(gib(each.memory_gib)), Cell(each.epoch or NONE),
                Cell(NONE if each.inference_ms is None else f"{plain(each.inference_ms)} ms"),
            ])
            for each in rows
        ],
    )  # fmt: skip


def shown_metrics(measured: Sequence[Measured]) -> list[str]:
    """The metrics that every run has: P, nDCG from 2 on (at 1 it is P), PSP, macro F1 at the largest k."""
    common = set.intersection(*(set(each.figures) for each in measured))
    ks = sorted({int(name.partition("@")[2]) for name in common if name.startswith("P@")})
    names = [
        *(f"P@{k}" for k in ks),
        *(f"nDCG@{k}" for k in ks if k > 1),
        *(f"PSP@{k}" for k in ks),
        *(f"macro_F1_tested@{k}" for k in ks[-1:]),
    ]
    return [name for name in names if name in common]


def memory(figures: Mapping[str, Any], whole: bool = False) -> tuple[int, str] | None:
    """Bytes that training took, and what was counted; None where the manifest doesn't say.

    `whole`: on a CPU the whole process, where that is known, and not its tensors alone.
    """
    counted = (figures.get("memory") or {}).get("measured_bytes") or figures.get("peak_bytes") or {}
    gpu = str(figures.get("device", "")).startswith("cuda")
    if whole and not gpu and "host" in counted:
        return int(counted["host"]), RESIDENT
    if "total" in counted:
        return int(counted["total"]), "GPU" if gpu else TENSORS
    if "gpu" in counted and gpu:
        return int(counted["gpu"]), "GPU"
    return (int(counted["host"]), RESIDENT) if "host" in counted else None


def percent(share: float | None, digits: int = 2) -> str:
    """A fraction as per cent, without the sign."""
    return NONE if share is None else f"{100 * share:.{digits}f}"


def plain(value: float | None) -> str:
    """A quoted figure with the digits that it has, one at least."""
    return NONE if value is None else f"{value:.2f}".removesuffix("0")


def gib(value: float | None) -> str:
    """GiB, as published."""
    return NONE if value is None else f"{plain(value)} GiB"


def gib_of(count: int) -> str:
    """Bytes as GiB or, where that is little, MiB or KiB."""
    if count >= GIB / 10:
        return f"{count / GIB:.2f} GiB"
    return f"{count / (1 << 20):.1f} MiB" if count >= 1 << 20 else f"{count / 1024:.1f} KiB"


def millions(count: int) -> str:
    """A number of parameters."""
    return f"{count / 1e6:,.2f} M" if count < 1e8 else f"{count / 1e6:,.0f} M"


def clock(seconds: float) -> str:
    """Seconds as s, min:s or h:min:s."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    whole = round(seconds)
    minutes = f"{whole // 60 % 60:02d}:{whole % 60:02d}"
    return f"{whole // 3600}:{minutes} h" if whole >= 3600 else f"{minutes.removeprefix('0')} min"


def _figure(mine: Measured, name: str, strong: bool) -> Cell:
    interval = mine.intervals.get(name)
    below = f"{percent(interval[0], 1)}–{percent(interval[1], 1)}" if interval else ""
    return Cell(percent(mine.figures[name]), below, strong)


def _difference(difference: "Difference | None") -> Cell:
    if difference is None:
        return Cell()
    low, high = (_signed(value, 1) for value in (difference.low, difference.high))
    return Cell(_signed(difference.difference, 2), f"{low}…{high}", difference.significant)


def _signed(share: float, digits: int) -> str:
    text = f"{100 * share:+.{digits}f}"
    return text.replace("-", "−") if float(text) else text[1:]


def _costs(run: Run, alike: bool) -> list[Cell]:
    figures = run.figures("model")
    taken = memory(figures, whole=not alike)
    seconds, rate = figures.get("seconds"), figures.get("documents_per_second")
    head, encoder = figures.get("head_parameters"), figures.get("encoder_parameters")
    return [
        Cell() if taken is None else Cell(gib_of(taken[0]), taken[1]),
        Cell() if seconds is None else Cell(clock(seconds), f"{rate:,.0f} docs/s" if rate else ""),
        Cell()
        if head is None or encoder is None
        else Cell(millions(head + encoder), f"head {millions(head)}"),
    ]


def _quoted(row: Quoted, metrics: Sequence[str]) -> Row:
    cells = [Cell(plain(row.figures.get(name))) for name in metrics]
    method = row.method if row.sparsity is None else f"{row.method} ({row.sparsity:g}% sparse)"
    epoch = Cell(f"{row.epoch} min", "an epoch") if row.epoch else Cell()
    note = f"{row.source}; {row.note}" if row.note else row.source
    return Row(
        "quoted",
        method,
        note,
        [*cells, Cell(gib(row.memory_gib)), epoch, Cell()],
    )
