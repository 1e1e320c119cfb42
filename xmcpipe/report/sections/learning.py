"""The section on learning curves: loss, validation, gradients, and the schedules of a training."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from xmcpipe.report import charts
from xmcpipe.report.cells import listed
from xmcpipe.report.facts.curves import Curves
from xmcpipe.report.facts.runs import Run
from xmcpipe.report.sections.section import Section


class _Chart(NamedTuple):
    """A chart of one curve of the log, its values multiplied by `factor` and shown in the format `unit`."""

    title: str
    caption: str
    curve: str
    value: str
    unit: str
    factor: int = 1
    zero: bool = True


LOSS = _Chart(
    "Training loss", "The main loss, mean between two lines of the log.", "loss", "loss", ".3~g", zero=False
)
VALIDATION = "Per cent, on documents that were not trained on."
SCHEDULES = (
    _Chart(
        "Weight of the auxiliary loss", "Its weight in the total loss; at 0 its branch is dropped.",
        "auxiliary weight", "weight", ".2~f",
    ),
    _Chart(
        "Rewired connections", "Per cent of all connections that each rewiring replaced.",
        "rewired", "replaced", ".0f", 100,
    ),
    _Chart("Learning rate", "As a fraction of its peak.", "rate", "rate", ".1~f"),
)  # fmt: skip


def learning(runs: Sequence[Run], curves: Mapping[str, Curves]) -> Section:
    """Loss, validation, and what the schedules and rewirings did meanwhile."""
    section, names = Section(), [run.name for run in runs]
    # All charts have the same axis of epochs.
    end = max(
        (x for each in curves.values() for points in each.points.values() for x, _ in points), default=0
    )

    def add(chart: _Chart) -> None:
        series = {
            run: {chart.curve: [(x, chart.factor * value) for x, value in each.of(chart.curve)]}
            for run, each in curves.items()
        }
        spec = charts.lines(series, names, chart.value, chart.unit, zero=chart.zero, end=end)
        section.add(chart.title, chart.caption, spec)

    add(LOSS)
    metrics = dict.fromkeys(key for each in curves.values() for key in each.points if key.startswith("P@"))
    for name in metrics:
        add(_Chart(f"Validation {name}", VALIDATION, name, f"validation {name}", ".1~f", 100, zero=False))
    _gradients(section, names, curves, end)
    for schedule in SCHEDULES:
        add(schedule)
    section.notes += [note for run in runs for note in _missing(run, curves[run.name])]
    return section


def _missing(run: Run, curves: Curves) -> list[str]:
    """A note on the curves or validation figures that a run doesn't have."""
    if not curves.points:
        return [f"No curves of {run.name}: its model, or the model's log, was deleted."]
    if any(name.startswith("P@") for name in curves.points):
        return []
    validation = run.settings.get("train.validation")  # the fraction of documents; None if it isn't known
    skipped = validation is not None and not validation
    why = "it had no validation documents" if skipped else "its log has none"
    return [f"No validation figures of {run.name}: {why}."]


def _gradients(section: Section, names: Sequence[str], curves: Mapping[str, Curves], end: float) -> None:
    """The encoder's gradient from each loss, as in the paper's Figure 2; older logs don't have it."""
    gradients = {
        run: {part: each.of(f"gradient {part}") for part in ("main", "auxiliary")}
        for run, each in curves.items()
    }
    found = section.add(
        "Gradient of the encoder",
        "Euclidean norm of the gradient from the main and from the weighted auxiliary loss; logarithmic.",
        charts.lines(gradients, names, "norm", ".2~e", log=True, end=end),
    )
    without = [run for run, each in curves.items() if each.points and not each.of("gradient main")]
    if without:
        whose = f"the log of {listed(without)} doesn't" if found else "the logs of these runs don't"
        section.notes.append(f"No gradient norms: {whose} have them. Older versions wrote none.")
