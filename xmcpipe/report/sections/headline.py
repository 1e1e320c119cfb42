"""The first section: the figures of all runs and the published figures in one table."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xmcpipe.report import charts
from xmcpipe.report.cells import (
    NONE,
    Cell,
    Row,
    Table,
    clock,
    gib,
    gib_of,
    listed,
    millions,
    percent,
    plain,
    signed_percent,
)
from xmcpipe.report.facts.measurement import RunMeasurement
from xmcpipe.report.facts.published import Published, Quoted
from xmcpipe.report.facts.runs import Run
from xmcpipe.report.sections.section import Section

if TYPE_CHECKING:
    from xmcpipe.metrics import Difference

TENSORS, RESIDENT = "tensors (CPU)", "resident"  # two measures of memory: of tensors, of the whole process
COST_HEADS = ("Memory", "Training", "Parameters")


def headline_section(
    runs: Sequence[Run],
    measurements: Sequence[RunMeasurement],
    quoted: Published | None,
    datasets: Sequence[str],
) -> Section:
    """The headline table, and notes on what is missing from it."""
    notes = [
        f"{run.name}: {note}."
        for run, measurement in zip(runs, measurements, strict=True)
        for note in measurement.notes
    ]
    if quoted is None:
        notes.append(f"No published rows: {_why_unquoted(runs, datasets)}.")
    if len(runs) > len(charts.COLOURS):
        notes.append(f"Colours repeat after {len(charts.COLOURS)} runs: name fewer runs to tell them apart.")
    table = headline(runs, measurements, quoted.systems if quoted else [])
    return Section(tables=[("", table)], notes=notes)


def _why_unquoted(runs: Sequence[Run], datasets: Sequence[str]) -> str:
    if len(datasets) > 1:
        return f"the runs are of several datasets, {listed(list(datasets))}"
    if not datasets and all(run.folder("raw") is None for run in runs):
        return "the dataset is unknown, because its raw artifact was deleted"
    return f"none are known for {listed(list(datasets)) or 'your own data'}"


def headline(runs: Sequence[Run], measurements: Sequence[RunMeasurement], quoted: Sequence[Quoted]) -> Table:
    """The table of runs with intervals, differences to the first run, popularity baseline and quoted rows."""
    metrics = shown_metrics(measurements)
    rows = _run_rows(runs, measurements, metrics)
    rows += _difference_rows(runs, measurements, metrics)
    shown = any(run.baseline == "popularity" and run.test_set == runs[0].test_set for run in runs)
    if (popular := measurements[0].popularity) and not shown:
        cells = [Cell(percent(popular[name])) if name in popular else Cell() for name in metrics]
        same_test = len({run.test_set for run in runs}) == 1
        below = "the baseline" if same_test else f"on the test of {runs[0].name}"
        rows.append(Row("baseline", "popularity", below, [*cells, *_no_costs()]))
    if quoted:
        rows.append(Row("group", "Quoted as published, not measured here"))
    rows += [_quoted(each, metrics) for each in quoted]
    heads = [name.replace("macro_F1_tested", "macro F1") for name in metrics]
    return Table([*heads, *COST_HEADS], rows)


def _run_rows(
    runs: Sequence[Run], measurements: Sequence[RunMeasurement], metrics: Sequence[str]
) -> list[Row]:
    """A row for each run. Among runs on the test set of the first run, the best figures are strong."""
    measures = {used[1] for run in runs if (used := training_memory(run.figures("model")))}
    # The tensors of one run can't be compared with the process of another: then show the process of all.
    whole = measures == {TENSORS, RESIDENT}
    rivals = [
        measurement.figures
        for run, measurement in zip(runs, measurements, strict=True)
        if run.test_set == runs[0].test_set  # figures on other documents can't be better or worse
    ]
    best = {name: max(each[name] for each in rivals) for name in metrics} if len(rivals) > 1 else {}
    rows = []
    for run, measurement in zip(runs, measurements, strict=True):
        figures = measurement.figures
        candidates = best if run.test_set == runs[0].test_set else {}
        # Rounded figures are compared: two figures that look equal are both the best.
        cells = [
            _figure(measurement, name, name in candidates and percent(figures[name]) == percent(best[name]))
            for name in metrics
        ]
        below = "baseline" if run.baseline else ""
        rows.append(Row("run", run.name, below, cells + _costs(run, whole)))
    return rows


def _difference_rows(
    runs: Sequence[Run], measurements: Sequence[RunMeasurement], metrics: Sequence[str]
) -> list[Row]:
    """A row for each run with differences to the first run."""
    rows = []
    for run, measurement in zip(runs[1:], measurements[1:], strict=True):
        if measurement.differences:
            cells = [_difference(measurement.differences.get(name)) for name in metrics]
            name = f"{run.name} − {runs[0].name}"
            rows.append(Row("difference", name, "paired difference", [*cells, *_no_costs()]))
    return rows


def quoted_variants(rows: Sequence[Quoted]) -> Table:
    """The published ablations as a table; metrics that no row has are omitted."""
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


def shown_metrics(measurements: Sequence[RunMeasurement]) -> list[str]:
    """The metrics that the table shows, without those that some run lacks.

    They are P, nDCG for k > 1 (at k = 1 it equals P), PSP, and macro F1 at the largest k.
    """
    common = set.intersection(*(set(each.figures) for each in measurements))
    ks = sorted({int(name.partition("@")[2]) for name in common if name.startswith("P@")})
    names = [
        *(f"P@{k}" for k in ks),
        *(f"nDCG@{k}" for k in ks if k > 1),
        *(f"PSP@{k}" for k in ks),
        *(f"macro_F1_tested@{k}" for k in ks[-1:]),
    ]
    return [name for name in names if name in common]


def training_memory(figures: Mapping[str, Any], whole: bool = False) -> tuple[int, str] | None:
    """The peak memory of a training in bytes, and the name of the measure; None if it is unknown.

    `figures` are those in the manifest of a model. On a CPU, with `whole`, the memory of the whole process is
    preferred to that of its tensors, if it was measured.
    """
    # Models of older versions have peak_bytes instead of memory.
    counted = (figures.get("memory") or {}).get("measured_bytes") or figures.get("peak_bytes") or {}
    gpu = str(figures.get("device", "")).startswith("cuda")
    if whole and not gpu and "host" in counted:
        return int(counted["host"]), RESIDENT
    if "total" in counted:
        return int(counted["total"]), "GPU" if gpu else TENSORS
    if "gpu" in counted and gpu:
        return int(counted["gpu"]), "GPU"
    return (int(counted["host"]), RESIDENT) if "host" in counted else None


def _figure(measurement: RunMeasurement, name: str, strong: bool) -> Cell:
    interval = measurement.intervals.get(name)
    below = f"{percent(interval[0], 1)}–{percent(interval[1], 1)}" if interval else ""
    return Cell(percent(measurement.figures[name]), below, strong)


def _difference(difference: "Difference | None") -> Cell:
    if difference is None:
        return Cell()
    low, high = (signed_percent(value, 1) for value in (difference.low, difference.high))
    return Cell(signed_percent(difference.difference, 2), f"{low}…{high}", difference.significant)


def _costs(run: Run, whole: bool) -> list[Cell]:
    """The cells in the columns COST_HEADS; for `whole`, see `training_memory`."""
    if run.baseline:
        return _costs_of_baseline(run)
    figures = run.figures("model")
    used = training_memory(figures, whole)
    seconds, rate = figures.get("seconds"), figures.get("documents_per_second")
    head, encoder = figures.get("head_parameters"), figures.get("encoder_parameters")
    return [
        Cell() if used is None else Cell(gib_of(used[0]), used[1]),
        Cell() if seconds is None else Cell(clock(seconds), f"{rate:,.0f} docs/s" if rate else ""),
        Cell()
        if head is None or encoder is None
        else Cell(millions(head + encoder), f"head {millions(head)}"),
    ]


def _costs_of_baseline(run: Run) -> list[Cell]:
    """The same columns for a baseline, whose one stage trains and predicts."""
    made_by = run.artifacts["predictions"].manifest.made_by
    resident, seconds = made_by.get("peak_rss_bytes"), made_by.get("seconds")
    weights = run.figures("predictions").get("weights")
    return [
        Cell() if resident is None else Cell(gib_of(int(resident)), RESIDENT),
        Cell() if seconds is None else Cell(clock(float(seconds)), "with prediction"),
        Cell() if weights is None else Cell(millions(weights)),
    ]


def _no_costs() -> list[Cell]:
    return [Cell("") for _ in COST_HEADS]


def _quoted(row: Quoted, metrics: Sequence[str]) -> Row:
    """A quoted row of the headline table."""
    cells = [Cell(plain(row.figures.get(name))) for name in metrics]
    method = row.method if row.sparsity is None else f"{row.method} ({row.sparsity:g}% sparse)"
    epoch = Cell(f"{row.epoch} min", "per epoch") if row.epoch else Cell()
    note = f"{row.source}; {row.note}" if row.note else row.source
    return Row(
        "quoted",
        method,
        note,
        [*cells, Cell(gib(row.memory_gib)), epoch, Cell()],
    )
