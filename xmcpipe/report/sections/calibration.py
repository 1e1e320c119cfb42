"""The section on probabilities: reliability diagrams, and the calibration error before and after."""

from collections.abc import Mapping, Sequence
from typing import Any

from xmcpipe.calibration.files import has_calibration
from xmcpipe.calibration.saved import read_facts
from xmcpipe.errors import XmcpipeError
from xmcpipe.report import charts
from xmcpipe.report.cells import Cell, Row, Table, percent
from xmcpipe.report.facts.runs import Run
from xmcpipe.report.sections.section import Section

PARTS = {"before": "uncalibrated", "after": "calibrated"}


def calibration(runs: Sequence[Run]) -> Section:
    """A diagram for each k that all calibrated runs have, and a table of errors on the test and held-out."""
    section, names = Section(), [run.name for run in runs]
    found = {run.name: run.metrics["calibration"] for run in runs if run.metrics["calibration"]}
    ks = [k for k in next(iter(found.values()), {}) if all(k in each for each in found.values())]
    for k in ks:
        rows = [
            {"run": name, "part": PARTS[part], **_point(each)}
            for name, measured in found.items()
            for part in PARTS
            for each in (measured[k][part] or {}).get("bins", ())
        ]
        caption = f"How often the {k} best labels are right, by their probability."
        caption = caption if k != "1" else "How often the best label is right, by its probability."
        section.add(f"Reliability @{k}", caption, charts.reliability(rows, names))
    if found:
        section.tables.append(("Expected calibration error, %", _table(runs, found, ks)))
    for run in runs:
        if run.name not in found and run.baseline is None:
            section.notes.append(
                f"No probabilities of {run.name}: it was measured without a table [calibrate] in its recipe."
            )
    return section


def _point(each: Mapping[str, Any]) -> dict[str, Any]:
    return {"x": each["probability"], "y": each["right"], "count": each["count"]}


def _table(runs: Sequence[Run], found: Mapping[str, Any], ks: Sequence[str]) -> Table:
    """A row for the test, and one for the held-out documents on which the calibration was made."""
    rows = []
    for run in runs:
        if run.name not in found:
            continue
        facts = _facts(run)
        rows.append(Row("run", run.name, "test split", _cells(found[run.name], ks)))
        if facts is not None:
            how = f"{facts['documents']:,} held-out documents · {facts['method']}, {_ranges(facts)}"
            rows.append(Row("label", "validation split", how, _cells(facts["reliability"], ks)))
    return Table([f"ECE@{k}" for k in ks], rows)


def _cells(measured: Mapping[str, Any], ks: Sequence[str]) -> list[Cell]:
    cells = []
    for k in ks:
        both = measured.get(k) or {"before": None, "after": None}
        below = f"uncalibrated {percent(both['before']['ece'])}" if both["before"] else ""
        cells.append(Cell(percent(both["after"]["ece"]) if both["after"] else "–", below))
    return cells


def _ranges(facts: Mapping[str, Any]) -> str:
    count = len(facts["ranges"])
    return "one function" if count == 1 else f"{count} functions by label frequency"


def _facts(run: Run) -> dict[str, Any] | None:
    """What the calibration artifact says; None if it was deleted or can't be read."""
    folder = run.folder("calibration")
    try:
        return read_facts(folder) if folder is not None and has_calibration(folder) else None
    except XmcpipeError:
        return None
