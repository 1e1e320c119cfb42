"""The section on label frequency: the contributions of head, torso and tail labels to P@k and PSP@k."""

from collections.abc import Mapping, Sequence
from typing import Any

from xmcpipe.report import charts
from xmcpipe.report.cells import Cell, Row, Table, listed
from xmcpipe.report.facts.measurement import RunMeasurement
from xmcpipe.report.sections.section import Section

Bins = Sequence[Mapping[str, Any]]  # as by_frequency in metrics.json


def frequency(names: Sequence[str], measurements: Sequence[RunMeasurement]) -> Section:
    """A chart for each P@k and PSP@k that all runs have, and a table of the bins."""
    section = Section()
    bins = {name: each.bins for name, each in zip(names, measurements, strict=True) if each.bins}
    for metric in _common_metrics(bins):
        rows = [
            {
                "run": name,
                "bin": each["name"],
                "value": 100 * each["figures"][metric],
                "detail": f"{each['labels']:,}, {each['least']:,} to {each['most']:,} training documents",
            }
            for name, of_run in bins.items()
            for each in of_run
        ]
        section.add(metric, "Points that each bin adds.", charts.bars(rows, names, metric, ".1~f"))
    if bins:
        # One table is enough for runs on the same data; others get a note.
        first, *others = bins
        section.tables.append(("The bins", _bins_table(bins[first])))
        if different := [name for name in others if _bounds(bins[name]) != _bounds(bins[first])]:
            section.notes.append(
                f"The table shows the bins of {first}; those of {listed(different)} have other bounds."
            )
    for name in names:
        if name not in bins:
            section.notes.append(
                f"No bins of {name}: its metrics have none, and its predictions or shards were deleted."
            )
    return section


def _common_metrics(bins: Mapping[str, Bins]) -> list[str]:
    """The names P@k, then PSP@k, that the bins of all runs have, each by ascending k."""
    if not bins:
        return []
    common = set.intersection(*(set(of_run[0]["figures"]) for of_run in bins.values()))
    ranked = sorted(common, key=lambda name: int(name.partition("@")[2]))
    return [name for metric in ("P@", "PSP@") for name in ranked if name.startswith(metric)]


def _bins_table(bins: Bins) -> Table:
    """The table of the bins: their labels and their bounds in training documents."""
    heads = ["Labels", "In the test", "Training documents per label", "Test positives"]
    return Table(heads, [
        Row("run", each["name"], "", [
            Cell(f"{each['labels']:,}"), Cell(f"{each['tested']:,}"),
            Cell(f"{each['least']:,}–{each['most']:,}"), Cell(f"{each['test_positives']:,}"),
        ])
        for each in bins
    ])  # fmt: skip


def _bounds(bins: Bins) -> list[tuple[int, int]]:
    return [(each["least"], each["most"]) for each in bins]
