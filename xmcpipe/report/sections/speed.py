"""The section on speed: documents per second in training, and the time of each stage."""

from collections.abc import Mapping, Sequence

from xmcpipe.report import charts
from xmcpipe.report.cells import Cell, Row, Table, clock, listed
from xmcpipe.report.facts.curves import Curves
from xmcpipe.report.facts.runs import Run
from xmcpipe.report.sections.section import Section

SHOWN_FRACTION = 0.005  # of the longest stage: shorter stages are in the table only


def speed(runs: Sequence[Run], curves: Mapping[str, Curves]) -> Section:
    """A curve of documents per second, bars of the minutes of each stage, and a table of all stages."""
    section, names = Section(), [run.name for run in runs]
    series = {name: {"": each.of("documents a second")} for name, each in curves.items()}
    section.add(
        "Training speed",
        "Documents per second between two lines of the log, validation and rewiring included.",
        charts.lines(series, names, "documents per second", ",.0f", zero=True),
    )
    seconds = {
        run.name: {
            each.manifest.stage: float(each.manifest.made_by.get("seconds", 0))
            for each in run.artifacts.values()
        }
        for run in runs
    }
    stages = list(dict.fromkeys(stage for of_run in seconds.values() for stage in of_run))
    longest = {stage: max(of_run.get(stage, 0.0) for of_run in seconds.values()) for stage in stages}
    # Bars of very short stages would be invisible.
    shown = [stage for stage in stages if longest[stage] > SHOWN_FRACTION * max(longest.values())]
    rows = [
        {"run": name, "part": stage, "value": of_run[stage] / 60, "detail": clock(of_run[stage])}
        for stage in shown
        for name, of_run in seconds.items()
        if stage in of_run
    ]
    section.add(
        "Stages",
        "Minutes of each stage; the shortest are in the table only. Stages that runs share were run once.",
        charts.across(rows, names, "minutes", ",.3~g", shown),
    )
    section.tables.append(("Time by stage", _stage_table(seconds, stages)))
    section.notes += [
        f"No time for {listed(list(run.absent))} of {run.name}: deleted from the store."
        for run in runs
        if run.absent
    ]
    return section


def _stage_table(seconds: Mapping[str, Mapping[str, float]], stages: Sequence[str]) -> Table:
    """One row per stage, one column per run."""
    return Table(list(seconds), [
        Row("run", stage, "", [
            Cell(clock(of_run[stage])) if stage in of_run else Cell() for of_run in seconds.values()
        ])
        for stage in stages
    ])  # fmt: skip
