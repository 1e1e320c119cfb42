"""The section on learning curves: loss, validation, gradients, and the schedules of a training."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from xmcpipe.report import charts
from xmcpipe.report.cells import listed
from xmcpipe.report.facts.curves import Curves
from xmcpipe.report.facts.runs import Run
from xmcpipe.report.sections.section import Section


class _Chart(NamedTuple):
    """A chart of the curve named `curve`. Values are multiplied by `factor`, and formatted by `unit`."""

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
    """Charts of the loss, validation, gradients, schedules and rewirings of all runs."""
    section, names = Section(), [run.name for run in runs]
    # All charts get the same range of epochs, so that they can be compared.
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
    """A note if a run has no curves, or no validation figures."""
    if not curves.points:
        return [f"No curves of {run.name}: its model, or the model's log, was deleted."]
    if any(name.startswith("P@") for name in curves.points):
        return []
    validation = run.settings.get("train.validation")  # the fraction of documents, or None if unknown
    skipped = validation is not None and not validation
    why = "it had no validation documents" if skipped else "its log has none"
    return [f"No validation figures of {run.name}: {why}."]


def _gradients(section: Section, names: Sequence[str], curves: Mapping[str, Curves], end: float) -> None:
    """Add the chart of the encoder's gradient norm from each loss (Figure 2 of the paper).

    Logs of older versions don't have it, which a note states.
    """
    gradients = {
        run: {part: each.of(f"gradient {part}") for part in ("main", "auxiliary")}
        for run, each in curves.items()
    }
    has_chart = section.add(
        "Gradient of the encoder",
        "Euclidean norm of the gradient from the main and from the weighted auxiliary loss; logarithmic.",
        charts.lines(gradients, names, "norm", ".2~e", log=True, end=end),
    )
    without = [run for run, each in curves.items() if each.points and not each.of("gradient main")]
    if without:
        whose = f"the log of {listed(without)} doesn't" if has_chart else "the logs of these runs don't"
        reason = "A frozen encoder has no gradient, and older versions wrote none."
        section.notes.append(f"No gradient norms: {whose} have them. {reason}")
