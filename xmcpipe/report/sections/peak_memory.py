"""The section on memory: the planned peak of a training by part, and the measured peak in total."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from xmcpipe.report import charts
from xmcpipe.report.cells import GIB, NONE, Cell, Row, Table, gib_of
from xmcpipe.report.facts.runs import Run
from xmcpipe.report.sections.section import Section

SHOWN_FRACTION = 0.002  # of the largest bar: smaller parts are in the table only


def peak_memory(runs: Sequence[Run]) -> Section:
    """Bars of the totals and of the planned parts, and a table with all numbers."""
    section, names = Section(), [run.name for run in runs]
    known = {run.name: facts for run in runs if (facts := run.figures("model").get("memory"))}
    planned = {name: facts["predicted_bytes"] for name, facts in known.items() if "predicted_bytes" in facts}
    measured = {name: facts["measured_bytes"] for name, facts in known.items() if name in planned}
    order = _by_size(planned.values())
    totals = {"measured, total": measured, "planned, total": planned}
    # Bars: the two totals, then the planned parts by descending size.
    bytes_of = {title: {name: each["total"] for name, each in of.items()} for title, of in totals.items()}
    bytes_of |= {part: {name: each.get(part, 0) for name, each in planned.items()} for part in order}
    largest = {part: max(counts.values(), default=0) for part, counts in bytes_of.items()}
    shown = [part for part, count in largest.items() if count > SHOWN_FRACTION * max(largest.values())]
    rows = [
        {"run": name, "part": part, "value": count / GIB, "detail": gib_of(count)}
        for part in shown
        for name, count in bytes_of[part].items()
    ]
    section.add(
        "Measured and planned in total, and planned by part",
        "GiB at the peak of a step. The smallest parts are in the table only.",
        charts.across(rows, names, "GiB", ".2~f", shown),
        wide=True,
    )
    if known or any("peak_bytes" in run.figures("model") for run in runs):
        section.tables.append(("Planned and measured", _memory_table(runs, order)))
    for run in runs:
        if run.name not in known:
            deleted = run.folder("model") is None
            why = "its model was deleted" if deleted else "it was trained before memory was planned"
            section.notes.append(f"No parts of {run.name}: {why}.")
        elif run.name not in planned:
            section.notes.append(f"No plan of {run.name}: its measured memory is in the table.")
    return section


def _by_size(plans: Iterable[Mapping[str, int]]) -> list[str]:
    """The parts of several plans, the largest first."""
    parts: dict[str, int] = {}
    for plan in plans:
        for part, count in plan.items():
            if part not in ("total", "host"):
                parts[part] = max(count, parts.get(part, 0))
    return sorted(parts, key=lambda part: -parts[part])


def _memory_table(runs: Sequence[Run], order: Sequence[str]) -> Table:
    """A row per part (in `order`) and total, and a column per run; rows without any number are omitted."""
    facts = [run.figures("model").get("memory") or {} for run in runs]
    # Models of older versions have peak_bytes instead of memory.
    older = [run.figures("model").get("peak_bytes") or {} for run in runs]
    planned = [each.get("predicted_bytes") or {} for each in facts]
    measured = [each.get("measured_bytes") or old for each, old in zip(facts, older, strict=True)]

    def row(name: str, counts: Sequence[Mapping[str, Any]], key: str) -> Row:
        strong = key == "total"
        return Row(
            "run",
            name,
            "",
            [Cell(gib_of(int(each[key])), strong=strong) if key in each else Cell() for each in counts],
        )

    rows = [row(part, planned, part) for part in order]
    rows += [row("planned, total", planned, "total"), row("measured, total", measured, "total")]
    ratios = [Cell(f"{each['ratio']:.3f}") if "ratio" in each else Cell() for each in facts]
    rows.append(Row("run", "planned / measured", "", ratios))
    rows += [row("planned, whole process", planned, "host"), row("measured, whole process", measured, "host")]
    rows = [each for each in rows if any(cell.text != NONE for cell in each.cells)]
    return Table([run.name for run in runs], rows)
