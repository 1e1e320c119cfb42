"""The sections on what a run cost and how its layer is made: memory, speed, topology."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from xmcpipe.report import charts
from xmcpipe.report.runs import Run
from xmcpipe.report.sections import Section, listed
from xmcpipe.report.tables import GIB, NONE, Cell, Row, Table, clock, gib_of
from xmcpipe.report.topology import Topology
from xmcpipe.report.training import Curves, Points

SHOWN_SHARE = 0.002  # of all memory: smaller parts have no bar, and stand in the table alone
SHOWN_TIME = 0.005  # of the longest stage, likewise
TOPOLOGY_POINTS = 200


def memory(runs: Sequence[Run]) -> Section:
    """Peak memory in training by part as planned, and in all as measured."""
    section, names = Section(), [run.name for run in runs]
    known = {run.name: facts for run in runs if (facts := run.figures("model").get("memory"))}
    planned = {name: facts["predicted_bytes"] for name, facts in known.items() if "predicted_bytes" in facts}
    measured = {name: facts["measured_bytes"] for name, facts in known.items() if name in planned}
    order = _by_size(planned.values())
    totals = {"measured in all": measured, "planned in all": planned}
    bytes_of = {title: {name: mine["total"] for name, mine in each.items()} for title, each in totals.items()}
    bytes_of |= {part: {name: mine.get(part, 0) for name, mine in planned.items()} for part in order}
    largest = {part: max(counts.values(), default=0) for part, counts in bytes_of.items()}
    shown = [part for part, count in largest.items() if count > SHOWN_SHARE * max(largest.values())]
    rows = [
        {"run": name, "part": part, "value": count / GIB, "told": gib_of(count)}
        for part in shown
        for name, count in bytes_of[part].items()
    ]
    section.add(
        "Measured and planned in all, and planned by part",
        "GiB at the peak of a step. The smallest parts are in the table alone.",
        charts.across(rows, names, "GiB", ".2~f", shown),
        wide=True,
    )
    if known or any("peak_bytes" in run.figures("model") for run in runs):
        section.tables.append(("Planned and measured", _memory_table(runs, order)))
    for run in runs:
        if run.name not in known:
            gone = run.folder("model") is None
            why = "its model is gone" if gone else "it was trained before memory was planned"
            section.notes.append(f"No parts of {run.name}: {why}.")
        elif run.name not in planned:
            section.notes.append(f"No plan of {run.name}: what it measured is in the table.")
    return section


def _by_size(plans: Iterable[Mapping[str, int]]) -> list[str]:
    """The parts of several plans, the largest first."""
    parts: dict[str, int] = {}
    for plan in plans:
        for part, count in plan.items():
            if part not in ("total", "host"):
                parts[part] = max(count, parts.get(part, 0))
    return sorted(parts, key=lambda part: -parts[part])


def speed(runs: Sequence[Run], curves: Mapping[str, Curves]) -> Section:
    """Documents a second while training, and what each stage took."""
    section, names = Section(), [run.name for run in runs]
    series = {name: {"": mine.of("documents a second")} for name, mine in curves.items()}
    spec = charts.lines(series, names, "documents a second", ",.0f", zero=True)
    section.add(
        "Training speed",
        "Documents a second between two lines of the log, validation and rewiring included.",
        spec,
    )
    seconds = {
        run.name: {
            each.manifest.stage: float(each.manifest.made_by.get("seconds", 0))
            for each in run.artifacts.values()
        }
        for run in runs
    }
    stages = list(dict.fromkeys(stage for mine in seconds.values() for stage in mine))
    rows = [
        {"run": name, "part": stage, "value": mine[stage] / 60, "told": clock(mine[stage])}
        for stage in stages
        for name, mine in seconds.items()
        if stage in mine
    ]
    longest = {stage: max(mine.get(stage, 0.0) for mine in seconds.values()) for stage in stages}
    shown = [stage for stage in stages if longest[stage] > SHOWN_TIME * max(longest.values())]
    section.add(
        "Stages",
        "Minutes of each stage; the shortest are in the table alone. What runs share was run once.",
        charts.across([each for each in rows if each["part"] in shown], names, "minutes", ",.3~g", shown),
    )
    section.tables.append(("Seconds by stage", _stage_table(seconds, stages)))
    section.notes += [
        f"No seconds of {run.name}'s {listed(list(run.absent))}: gone from the store."
        for run in runs
        if run.absent
    ]
    return section


def _stage_table(seconds: Mapping[str, Mapping[str, float]], stages: Sequence[str]) -> Table:
    """A row a stage, a column a run."""
    return Table(list(seconds), [
        Row("run", stage, "", [
            Cell(clock(mine[stage])) if stage in mine else Cell() for mine in seconds.values()
        ])
        for stage in stages
    ])  # fmt: skip


def _memory_table(runs: Sequence[Run], order: Sequence[str]) -> Table:
    facts = [run.figures("model").get("memory") or {} for run in runs]
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
    rows += [row("planned in all", planned, "total"), row("measured in all", measured, "total")]
    ratios = [Cell(f"{each['ratio']:.3f}") if "ratio" in each else Cell() for each in facts]
    rows.append(Row("run", "planned / measured", "", ratios))
    rows += [row("planned, whole process", planned, "host"), row("measured, whole process", measured, "host")]
    rows = [each for each in rows if any(cell.text != NONE for cell in each.cells)]
    return Table([run.name for run in runs], rows)


def topology(
    runs: Sequence[Run], layers: Mapping[str, Topology], shares: Mapping[str, Sequence[float]]
) -> Section:
    """How a sparse layer spends its connections on the features, and how many it kept."""
    section, names = Section(), [run.name for run in runs]
    series = {name: {"": _ranked(layer)} for name, layer in layers.items()}
    spec = charts.lines(
        series, names, "times the even share", ".2~f", x="features, most used first, per cent", even=True
    )
    section.add(
        "Use of the features",
        "Labels that read a feature, as a multiple of the even share (dashed): flat where all serve alike.",
        spec,
    )
    kept: dict[str, dict[str, Points]] = {
        name: {"": [(float(at), 100 * (1 - share)) for at, share in enumerate(mine, start=1)]}
        for name, mine in shares.items()
        if mine
    }
    spec = charts.lines(kept, names, "kept", ".1~f", x="rewiring", zero=True)
    section.add(
        "Connections that survived each rewiring",
        "Per cent of all connections that one rewiring left in place.",
        spec,
    )
    if layers:
        figures = {run.name: run.figures("model") for run in runs}
        section.tables.append(("The layer", _topology_table(layers, figures)))
    for run in runs:
        if run.name not in layers:
            kind = run.settings.get("train.head.kind")
            why = f"its layer is {kind}, and every label reads every feature"
            if not run.folder("model"):
                why = "its model is gone"
            elif kind in ("ffi", None):
                why = "its weights are gone, or can't be read"
            section.notes.append(f"No topology of {run.name}: {why}.")
    return section


def _topology_table(layers: Mapping[str, Topology], figures: Mapping[str, Mapping[str, Any]]) -> Table:
    def row(name: str, below: str, cells: Sequence[str]) -> Row:
        return Row("run", name, below, [Cell(text) for text in cells])

    every = list(layers.values())
    uses = [f"{each.uses.min():,} · {each.even:,.0f} · {each.uses.max():,}" for each in every]
    counts = [figures[name].get("rewirings") for name in layers]
    kept = [figures[name].get("first_connections") for name in layers]
    rows = [
        row("fan-in of features", "K of D", [f"{each.fan_in:,} of {each.features:,}" for each in every]),
        row("sparsity", "1 − K / D", [f"{100 * (1 - each.fan_in / each.features):.1f}%" for each in every]),
        row("labels a feature", "least, even, most", uses),
        row("Gini coefficient of use", "0: all features serve alike", [f"{each.gini:.3f}" for each in every]),
        row("entropy of use", "share of the largest possible", [f"{each.entropy:.4f}" for each in every]),
        row("rewirings", "", [NONE if each is None else f"{each:,}" for each in counts]),
        row("first connections still there", "that no rewiring replaced", [
            NONE if each is None else f"{100 * each:.0f}%" for each in kept
        ]),
    ]  # fmt: skip
    return Table(list(layers), [each for each in rows if any(cell.text != NONE for cell in each.cells)])


def _ranked(layer: Topology) -> Points:
    """(share of the features, uses / even), most used first, at TOPOLOGY_POINTS places or all."""
    falling = sorted(layer.uses.tolist(), reverse=True)
    last = len(falling) - 1
    places = (
        range(last + 1)
        if last < TOPOLOGY_POINTS
        else [round(at * last / TOPOLOGY_POINTS) for at in range(TOPOLOGY_POINTS + 1)]
    )
    return [(100 * at / max(last, 1), falling[at] / layer.even) for at in places]
