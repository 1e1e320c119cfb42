"""The section on the topology of a sparse layer: how it uses the features, and which connections survive."""

from collections.abc import Mapping, Sequence
from typing import Any

from xmcpipe.report import charts
from xmcpipe.report.cells import NONE, Cell, Row, Table
from xmcpipe.report.facts.curves import Points
from xmcpipe.report.facts.runs import Run
from xmcpipe.report.facts.topology import Topology
from xmcpipe.report.sections.section import Section

CURVE_POINTS = 200


def feature_use(
    runs: Sequence[Run], layers: Mapping[str, Topology], rewirings: Mapping[str, Sequence[float]]
) -> Section:
    """How a sparse layer distributes its connections over the features.

    `rewirings` has, for each run, the fraction of connections that each rewiring replaced.
    """
    section, names = Section(), [run.name for run in runs]
    series = {name: {"": _ranked(layer)} for name, layer in layers.items()}
    section.add(
        "Use of the features",
        "Labels that read a feature, as a multiple of the mean (dashed): flat if all are read equally often.",
        charts.lines(
            series, names, "multiple of the mean", ".2~f", x="features, most used first, per cent", even=True
        ),
    )
    # The empty part: each run has one line in these charts.
    survived: dict[str, dict[str, Points]] = {
        name: {"": [(float(at), 100 * (1 - fraction)) for at, fraction in enumerate(replaced, start=1)]}
        for name, replaced in rewirings.items()
        if replaced
    }
    section.add(
        "Connections that survived each rewiring",
        "Per cent of all connections that one rewiring left in place.",
        charts.lines(survived, names, "survived", ".1~f", x="rewiring", zero=True),
    )
    if layers:
        figures = {run.name: run.figures("model") for run in runs}
        section.tables.append(("The layer", _layer_table(layers, figures)))
    for run in runs:
        if run.name not in layers:
            section.notes.append(f"No topology of {run.name}: {_why_missing(run)}.")
    return section


def _why_missing(run: Run) -> str:
    if not run.folder("model"):
        return "its model was deleted"
    kind = run.settings.get("train.head.kind")
    if kind in ("ffi", None):
        return "its weights were deleted, or can't be read"
    return f"its layer is {kind}, in which every label reads every feature"


def _layer_table(layers: Mapping[str, Topology], figures: Mapping[str, Mapping[str, Any]]) -> Table:
    """The table of sparse layers. `figures` maps each run to the headline figures of its model."""

    def row(name: str, below: str, cells: Sequence[str]) -> Row:
        return Row("run", name, below, [Cell(text) for text in cells])

    every = list(layers.values())
    uses = [f"{each.uses.min():,} · {each.even:,.0f} · {each.uses.max():,}" for each in every]
    counts = [figures[name].get("rewirings") for name in layers]
    first = [figures[name].get("first_connections") for name in layers]
    rows = [
        row("fan-in", "K of D features", [f"{each.fan_in:,} of {each.features:,}" for each in every]),
        row("sparsity", "1 − K / D", [f"{100 * (1 - each.fan_in / each.features):.1f}%" for each in every]),
        row("labels per feature", "minimum, mean, maximum", uses),
        row("Gini coefficient of use", "0: all features read equally often", [
            f"{each.gini:.3f}" for each in every
        ]),
        row("entropy of use", "fraction of the maximum", [f"{each.entropy:.4f}" for each in every]),
        row("rewirings", "", [NONE if each is None else f"{each:,}" for each in counts]),
        row("initial connections left", "that no rewiring replaced", [
            NONE if each is None else f"{100 * each:.0f}%" for each in first
        ]),
    ]  # fmt: skip
    return Table(list(layers), [each for each in rows if any(cell.text != NONE for cell in each.cells)])


def _ranked(layer: Topology) -> Points:
    """(per cent of the features, uses / mean), most used feature first, at most CURVE_POINTS + 1 points."""
    falling = sorted(layer.uses.tolist(), reverse=True)
    last = len(falling) - 1
    positions = (
        range(last + 1)
        if last < CURVE_POINTS
        else [round(at * last / CURVE_POINTS) for at in range(CURVE_POINTS + 1)]
    )
    return [(100 * at / max(last, 1), falling[at] / layer.even) for at in positions]
