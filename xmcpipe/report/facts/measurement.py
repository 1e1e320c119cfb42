"""The figures of runs with confidence intervals, and the differences between runs on the same documents.

Figures in metrics.json are used as they are. Two kinds are measured here from the predictions and the truth:
differences between two runs, which metrics.json can't hold, and intervals and frequency bins that an older
version didn't write. All runs on the same test documents are measured in one pass.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmcpipe.errors import XmcpipeError
from xmcpipe.report.facts.labels import BestAndWorst, best_and_worst
from xmcpipe.report.facts.runs import Run

if TYPE_CHECKING:
    from xmcpipe.data.label_lists.lists import LabelLists
    from xmcpipe.metrics import Difference, Evaluation

LEVEL = 0.95  # confidence level of the intervals
BINS = 3  # bins of label frequency: head, torso, tail


@dataclass
class RunMeasurement:
    """The measured figures of one run.

    `figures` and `popularity`: metric@k -> fraction. `intervals`: metric@k -> (low, high), at LEVEL.
    `differences`: metric@k -> this run minus the first run. `bins`: as by_frequency in metrics.json.
    `labels`: the best and the worst ones.
    `predictions`: the label lists, if they and the truth still exist. `notes` state what is missing, and why.
    """

    figures: dict[str, float]
    popularity: dict[str, float] | None
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    differences: "dict[str, Difference]" = field(default_factory=dict)
    bins: list[dict[str, Any]] = field(default_factory=list)
    labels: BestAndWorst | None = None
    predictions: "LabelLists | None" = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class TestSet:
    """The true labels and document ids of a test split, and its filter pairs, if there are any."""

    __test__ = False  # pytest collects classes called Test*

    truth: "LabelLists"
    pairs: "LabelLists | None"

    @staticmethod
    def of(shards: Path) -> "TestSet":
        """The test split of a shards artifact. Raises XmcpipeError if it can't be read."""
        from xmcpipe.data.label_lists.files import filter_of_artifact, read_label_lists

        truth = read_label_lists(shards, "truth")
        return TestSet(truth, filter_of_artifact(shards, truth))


def measure_runs(
    runs: Sequence[Run], rounds: int, seed: int, step: Callable[[], object] = lambda: None
) -> tuple[list[RunMeasurement], dict[str, TestSet]]:
    """Measure the runs; returns the measurement of each run, and the test sets that still exist.

    The test sets are keyed by `Run.test_set`. `rounds` is the number of bootstrap rounds; with 0 there are no
    intervals other than those in metrics.json. `step` is called twice for each run that is measured again.
    """
    measurements = [_from_metrics(run) for run in runs]
    measurable = [
        _is_measurable(run, measurement) for run, measurement in zip(runs, measurements, strict=True)
    ]
    tests: dict[str, TestSet] = {}
    # One group of runs per test set: the truth is read once, and differences are paired by document.
    for name in dict.fromkeys(run.test_set for run, can in zip(runs, measurable, strict=True) if can):
        members = [at for at, run in enumerate(runs) if run.test_set == name and measurable[at]]
        group = [measurements[at] for at in members]
        try:
            tests[name], systems = _measure_group([runs[at] for at in members], group, step)
        except XmcpipeError as error:
            # The page adds a full stop to each note, and some messages end with one.
            why = error.message.rstrip(". \n")
            for measurement in group:
                measurement.notes.append(f"it could not be measured again: {why}")
                measurement.predictions = None
            continue
        first = systems[0] if members[0] == 0 else None  # differences are to the first run of the page
        for measurement, system in zip(group, systems, strict=True):
            _complete(measurement, system, first, rounds, seed)
            step()
    for run, measurement in zip(runs[1:], measurements[1:], strict=True):
        measurement.notes += _difference_notes(runs[0], run, measurements[0])
    return measurements, tests


def _difference_notes(first: Run, run: Run, of_first: RunMeasurement) -> list[str]:
    """A note if the difference between a run and the first run is missing, or needs an explanation.

    `of_first` is the measurement of the first run.
    """
    if run.test_set != first.test_set:
        return [f"it was measured on other documents than {first.name}, so that no difference is given"]
    if of_first.predictions is None:
        return [f"no difference is given, because {first.name} could not be measured again"]
    if run.metrics["propensity"] != first.metrics["propensity"]:
        return [
            f"its PSP has another propensity than that of {first.name}, which the difference is measured with"
        ]
    return []


def _from_metrics(run: Run) -> RunMeasurement:
    """The part of a measurement that metrics.json holds."""
    metrics = run.metrics
    stored = metrics["intervals"] or {}
    intervals = {}
    # Intervals of another level can't be compared with those of other runs: measure them again.
    if stored.get("level") == LEVEL:
        intervals = {name: (low, high) for name, (low, high) in stored["model"].items()}
    return RunMeasurement(
        metrics["model"], metrics["popularity"], intervals, bins=metrics["by_frequency"] or []
    )


def _is_measurable(run: Run, measurement: RunMeasurement) -> bool:
    """Whether a run can be measured again; if not, a note says why."""
    for kind in ("predictions", "shards"):
        if run.folder(kind) is None:
            measurement.notes.append(
                f"its {kind} were deleted from the store: intervals, differences and documents are shown "
                "only as far as metrics.json has them"
            )
            return False
    return True


def _measure_group(
    runs: Sequence[Run], measurements: Sequence[RunMeasurement], step: Callable[[], object]
) -> "tuple[TestSet, list[Evaluation]]":
    """Evaluate runs on the same test documents, and store their predictions in `measurements`.

    All runs are measured with the propensity of the first run, at the ranks k that they have in common.
    Raises XmcpipeError if they have no rank in common, or if an artifact can't be read.
    """
    from xmcpipe.data.label_lists.files import read_label_lists
    from xmcpipe.data.label_lists.numbering import common_vocabulary
    from xmcpipe.data.vocabulary_file import read_vocabulary
    from xmcpipe.measuring.lists import measure_lists, most_pairs
    from xmcpipe.measuring.shard_training import training_of_shards

    shards = runs[0].folder("shards")
    assert shards, "runs without shards are not measured"
    propensity = runs[0].metrics["propensity"] or {"kind": "standard", "a": 0.55, "b": 1.5}
    ks = sorted(set.intersection(*(set(run.metrics["k"]) for run in runs)))
    if not ks:
        raise XmcpipeError("expected runs with a rank k in common, got runs evaluated at different k")
    # This order limits the peak memory: the training labels, the largest input, are reduced to counts first.
    training = training_of_shards(shards, propensity["kind"])
    test = TestSet.of(shards)
    top = ks[-1] + (0 if test.pairs is None else most_pairs(test.pairs))
    for run, each in zip(runs, measurements, strict=True):
        folder = run.folder("predictions")
        assert folder, "runs without predictions are not measured"
        each.predictions = read_label_lists(folder, "predictions", top=top)
        step()
    lists = [each.predictions for each in measurements if each.predictions is not None]
    others = lists if test.pairs is None else [*lists, test.pairs]
    common = common_vocabulary(others, test.truth, None)
    filtered = test.pairs is not None
    measurement = measure_lists(common, training, ks, propensity["a"], propensity["b"], filtered=filtered)
    vocabulary = read_vocabulary(shards)
    for system, each in zip(measurement.systems, measurements, strict=True):
        each.labels = best_and_worst(system, vocabulary, ks[-1])
    return test, measurement.systems


def _complete(
    measurement: RunMeasurement, system: "Evaluation", first: "Evaluation | None", rounds: int, seed: int
) -> None:
    """Add the bins, intervals and differences that metrics.json doesn't hold."""
    from xmcpipe.metrics import compare

    if not measurement.bins:
        measurement.bins = [dataclasses.asdict(each) for each in system.by_frequency(BINS)]
    if not rounds:
        return
    if not measurement.intervals:
        intervals = system.intervals(rounds, LEVEL, seed)
        measurement.intervals = {name: (interval.low, interval.high) for name, interval in intervals.items()}
    if first is not None and system is not first:
        measurement.differences = compare(system, first, rounds, LEVEL, seed)
