"""The charts and tables of the page's sections: what is shown, under which words, and what is absent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from xmcpipe.report import charts
from xmcpipe.report.charts import Spec
from xmcpipe.report.measured import Measured
from xmcpipe.report.tables import Cell, Row, Table
from xmcpipe.report.training import Curves


@dataclass(frozen=True)
class Figure:
    """A chart with its title and a caption that says what to look at."""

    title: str
    caption: str
    spec: Spec
    wide: bool = False


@dataclass
class Section:
    """What a section of the page shows; `notes` are lines on what is absent, and why."""

    figures: list[Figure] = field(default_factory=list)
    tables: list[tuple[str, Table]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, title: str, caption: str, spec: Spec | None, wide: bool = False) -> bool:
        """Add a chart, if there is anything in it; returns whether there is."""
        if spec is not None:
            self.figures.append(Figure(title, caption, spec, wide))
        return spec is not None


class _Curve(NamedTuple):
    """A chart of one curve of the log: what its values are called, their format, and what they are times."""

    title: str
    caption: str
    curve: str
    value: str
    unit: str
    times: int = 1
    zero: bool = True


LOSS = _Curve(
    "Training loss", "The main loss, mean between two lines of the log.", "loss", "loss", ".3~g", zero=False
)
VALIDATION = "Per cent, on documents set aside from training."
SCHEDULES = (
    _Curve(
        "Weight of the auxiliary loss", "Its share of the loss; at 0 the branch is dropped.",
        "auxiliary weight", "weight", ".2~f",
    ),
    _Curve(
        "Rewired connections", "Per cent of all connections that each rewiring replaced.",
        "rewired", "replaced", ".0f", 100,
    ),
    _Curve("Learning rate", "As a share of its peak.", "rate", "rate", ".1~f"),
)  # fmt: skip


def learning(
    names: Sequence[str], curves: Mapping[str, Curves], set_aside: Mapping[str, bool | None]
) -> Section:
    """Loss, validation, and what the schedules and rewirings did meanwhile.

    `set_aside`: whether a run kept documents for validation, None where that isn't known.
    """
    section = Section()
    # one axis of epochs for all
    end = max(
        (x for mine in curves.values() for points in mine.points.values() for x, _ in points), default=0
    )

    def add(what: _Curve) -> None:
        series = {
            run: {what.curve: [(x, what.times * value) for x, value in mine.of(what.curve)]}
            for run, mine in curves.items()
        }
        spec = charts.lines(series, names, what.value, what.unit, zero=what.zero, end=end)
        section.add(what.title, what.caption, spec)

    add(LOSS)
    for name in dict.fromkeys(key for mine in curves.values() for key in mine.points if key.startswith("P@")):
        add(_Curve(f"Validation {name}", VALIDATION, name, f"validation {name}", ".1~f", 100, zero=False))
    _gradients(section, names, curves, end)
    for schedule in SCHEDULES:
        add(schedule)
    for run, mine in curves.items():
        if not mine.points:
            section.notes.append(f"No curves of {run}: its model, or the log in it, is gone.")
        elif not any(name.startswith("P@") for name in mine.points):
            why = "it set no documents aside" if set_aside[run] is False else "its log has none"
            section.notes.append(f"No validation figures of {run}: {why}.")
    return section


def _gradients(section: Section, names: Sequence[str], curves: Mapping[str, Curves], end: float) -> None:
    """The encoder's gradient by loss, as in the paper's Figure 2; older logs don't have it."""
    gradients = {
        run: {part: mine.of(f"gradient {part}") for part in ("main", "auxiliary")}
        for run, mine in curves.items()
    }
    found = section.add(
        "Gradient of the encoder",
        "Euclidean norm, from the main and the auxiliary loss as weighted; logarithmic.",
        charts.lines(gradients, names, "norm", ".2~e", log=True, end=end),
    )
    without = [run for run, mine in curves.items() if mine.points and not mine.of("gradient main")]
    if without:
        whose = f"the log of {listed(without)} doesn't" if found else "the logs of these runs don't"
        section.notes.append(f"No gradient norms: {whose} hold them. Older versions wrote none.")


def frequency(names: Sequence[str], measured: Sequence[Measured]) -> Section:
    """What head, torso and tail labels contribute to P@k and PSP@k."""
    section = Section()
    bins = {name: mine.bins for name, mine in zip(names, measured, strict=True) if mine.bins}
    for metric in ("P", "PSP"):
        common = [set(bins_of[0]["figures"]) for bins_of in bins.values()]
        shown = sorted(set.intersection(*common), key=_rank) if common else []
        for key in (name for name in shown if name.startswith(f"{metric}@")):
            rows = [
                {
                    "run": name,
                    "bin": each["name"],
                    "value": 100 * each["figures"][key],
                    "told": f"{each['labels']:,}, {each['least']:,} to {each['most']:,} training documents",
                }
                for name, mine in bins.items()
                for each in mine
            ]
            section.add(key, "Points that each bin adds.", charts.bars(rows, names, key, ".1~f"))
    if bins:
        first, *others = bins
        section.tables.append(("The bins", _bins_table(bins[first])))
        if odd := [name for name in others if _bounds(bins[name]) != _bounds(bins[first])]:
            section.notes.append(f"The table has the bins of {first}; those of {listed(odd)} are others.")
    for name in names:
        if name not in bins:
            section.notes.append(
                f"No bins of {name}: they were not measured with it, and its predictions or shards are gone."
            )
    return section


def _bins_table(bins: Sequence[Mapping[str, Any]]) -> Table:
    heads = ["Labels", "in the test", "Training documents a label", "Test positives"]
    return Table(heads, [
        Row("run", each["name"], "", [
            Cell(f"{each['labels']:,}"), Cell(f"{each['tested']:,}"),
            Cell(f"{each['least']:,}–{each['most']:,}"), Cell(f"{each['test_positives']:,}"),
        ])
        for each in bins
    ])  # fmt: skip


def _bounds(bins: Sequence[Mapping[str, Any]]) -> list[tuple[int, int]]:
    return [(each["least"], each["most"]) for each in bins]


def _rank(name: str) -> int:
    return int(name.partition("@")[2])


def listed(words: Sequence[str]) -> str:
    """The words as a sentence lists them: a, b and c."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else ""
