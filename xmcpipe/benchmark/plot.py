"""Plots the times: a row of panels per layer, a panel per operation, a line per implementation.

Both axes are logarithmic, so that equal ratios are equal distances. The dashed line is the floor: the time to
move the bytes of our layout at the speed of the copy of the same rounds. The plot needs only the JSON
document.
"""

from pathlib import Path
from typing import Any

SIZES = {
    "fan_in": "K, fan-in",
    "batch": "B, rows",
    "labels": "L, labels",
    "features": "D, features",
    "group": "G, labels of a group",
}
# Colours that colour-blind readers can tell apart (Okabe and Ito), and a marker each.
STYLES = {
    "ffi": ("#D55E00", "o"),
    "grouped": ("#E69F00", "P"),
    "dense": ("#0072B2", "s"),
    "csr": ("#009E73", "^"),
    "embedding_bag": ("#CC79A7", "D"),
}
PANEL_INCHES = (3.1, 2.6)
HEADER_INCHES = 1.1


def write(path: Path, document: dict[str, Any]) -> None:
    """Write a PNG to `path`. Raises ModuleNotFoundError if matplotlib isn't installed."""
    from matplotlib.figure import Figure

    comparisons = document["comparisons"]
    varied = varied_size(comparisons)
    layers = list(dict.fromkeys(_layer(each, varied) for each in comparisons))
    whats = list(dict.fromkeys(each["what"] for each in comparisons))
    height = PANEL_INCHES[1] * len(layers) + HEADER_INCHES
    figure: Any = Figure(figsize=(max(6.5, PANEL_INCHES[0] * len(whats) + 0.6), height), layout="constrained")
    # The layout engine must leave the header free, which `_head` draws without it.
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - HEADER_INCHES / height))
    panels = figure.subplots(len(layers), len(whats), squeeze=False, sharey="row", sharex=True)
    for row, layer in enumerate(layers):
        for column, what in enumerate(whats):
            panel = panels[row][column]
            chosen = [each for each in comparisons if (_layer(each, varied), each["what"]) == (layer, what)]
            _draw(panel, chosen, varied)
            if row == 0:
                panel.set_title(what, fontsize=11)
            if row == len(layers) - 1:
                panel.set_xlabel(SIZES[varied])
        panels[row][0].set_ylabel(f"{layer}\n\nmilliseconds", fontsize=9)
    _head(figure, panels, document["machine"], height)
    figure.savefig(path, dpi=150)


def varied_size(comparisons: list[dict[str, Any]]) -> str:
    """The size with the most distinct values, which becomes the x axis."""
    return max(SIZES, key=lambda size: len({each[size] for each in comparisons}))


def _layer(comparison: dict[str, Any], varied: str) -> str:
    names = {"labels": "L", "features": "D", "batch": "B", "fan_in": "K", "group": "G"}
    sizes = [f"{name} {comparison[size]:,}" for size, name in names.items() if size != varied]
    return f"{comparison['dtype']}\n{' · '.join(sizes)}"


def _draw(panel: Any, comparisons: list[dict[str, Any]], varied: str) -> None:
    ordered = sorted(comparisons, key=lambda each: each[varied])
    for name, (colour, marker) in STYLES.items():
        timed = [
            (each[varied], result)
            for each in ordered
            for result in each["results"]
            if result["contender"] == name and result["ms"]
        ]
        if timed:
            sizes, results = zip(*timed, strict=True)
            times = [result["ms"] for result in results]
            panel.plot(sizes, times, color=colour, marker=marker, markersize=5, label=name)
            if name == "ffi":
                _write_ratios(panel, sizes, results, colour)
    floor = [(each[varied], each["floor_ms"]) for each in ordered if each["floor_ms"]]
    if floor:
        panel.plot(
            *zip(*floor, strict=True), color="0.35", linestyle="--", linewidth=1.2, label="floor of ffi"
        )
    _set_axes(panel, sorted({each[varied] for each in comparisons}))


def _write_ratios(panel: Any, sizes: Any, results: Any, colour: str) -> None:
    """Write our speed relative to dense in a row above the lines."""
    for size, result in zip(sizes, results, strict=True):
        if result["faster"]:
            ratio, place = f"{result['faster']:.2g}×", panel.get_xaxis_transform()
            panel.text(size, 0.98, ratio, color=colour, fontsize=9, ha="center", va="top", transform=place)


def _set_axes(panel: Any, sizes: list[int]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    panel.set_xticks(sizes, [f"{size:,}" for size in sizes])
    panel.margins(x=0.15, y=0.2)  # the upper margin holds the ratios
    low, high = panel.get_ylim()
    panel.yaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5) if high < 100 * low else (1,)))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.yaxis.set_minor_formatter(NullFormatter())
    panel.grid(True, which="major", color="0.9", linewidth=0.8)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=8, labelleft=True)


def _head(figure: Any, panels: Any, machine: dict[str, Any], height: float) -> None:
    """Write the title, the machine and one legend for all panels above them."""
    from xmcpipe.benchmark.machine import name

    handles = {
        label: handle
        for panel in panels.flat
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    order = [label for label in [*STYLES, "floor of ffi"] if label in handles]
    figure.text(
        0.02, 1 - 0.28 / height, "The fixed fan-in layer and its alternatives", fontsize=13, va="center"
    )
    figure.text(
        0.02,
        1 - 0.55 / height,
        f"{name(machine)} · n×: speed relative to dense",
        fontsize=9,
        color="0.35",
        va="center",
    )
    figure.legend(
        [handles[label] for label in order],
        order,
        loc="center left",
        bbox_to_anchor=(0.01, 1 - 0.85 / height),
        ncols=len(order),
        frameon=False,
        fontsize=9,
    )
