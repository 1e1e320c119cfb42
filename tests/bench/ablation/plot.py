"""Draws the table of an ablation: for each variant the mean of P@1, P@3 and P@5, and that of PSP.

    python -m tests.bench.ablation.plot ABLATION.json OUT.png

Several seeds are several dots. A line marks the recipe as it is.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from tests.bench.ablation import AS_IT_IS

PANELS = {"P": "mean of P@1, P@3, P@5, %", "PSP": "mean of PSP@1, PSP@3, PSP@5, %"}
INK, DOT, MUTED, GRID = "#1f2430", "#2563eb", "#6b7280", "#e5e7eb"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    draw(json.loads(options.table.read_text(encoding="utf-8")), options.out)


def draw(table: dict[str, Any], out: Path) -> None:
    """Write the picture, the best variant by P at the top."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    values = {panel: by_variant(table["rows"], panel) for panel in PANELS}
    order = sorted(values["P"], key=lambda name: statistics.mean(values["P"][name]))
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 0.9 + 0.27 * len(order)), sharey=True)
    for axis, (panel, title) in zip(axes, PANELS.items(), strict=True):
        axis.axvline(statistics.mean(values[panel][AS_IT_IS]), color=MUTED, linewidth=1, zorder=1)
        for row, name in enumerate(order):
            found = values[panel][name]
            axis.scatter(
                found, [row] * len(found), s=26, color=INK if name == AS_IT_IS else "#2563eb", zorder=2
            )
        axis.set_xlabel(title, color=INK, fontsize=9)
        axis.grid(color=GRID, linewidth=0.8, zorder=0)
        axis.set_axisbelow(True)
        axis.tick_params(length=0, labelsize=9, colors=INK)
        for side in axis.spines.values():
            side.set_visible(False)
    axes[0].set_yticks(range(len(order)), order)
    figure.tight_layout()
    figure.savefig(out, dpi=130)


def by_variant(rows: list[dict[str, Any]], panel: str) -> dict[str, list[float]]:
    """Variant -> the mean over the ranks, in per cent, of each seed."""
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(row["name"], []).append(
            100 * statistics.mean(row[f"{panel}@{k}"] for k in (1, 3, 5))
        )
    return found


if __name__ == "__main__":
    main()
