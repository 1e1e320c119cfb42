"""The figures of runs with confidence intervals, and their differences on the same documents.

What metrics.json holds is taken from there. What it can't hold (the difference of two runs) or an older one
doesn't (intervals, bins of frequency) is measured here from the predictions and the test's truth, all runs of
one test set in one walk.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmcpipe.errors import XmcpipeError
from xmcpipe.report.runs import Run

if TYPE_CHECKING:
    from xmcpipe.data.label_lists.lists import LabelLists
    from xmcpipe.metrics import Difference, Evaluation

LEVEL = 0.95
BINS = 3


@dataclass
class Measured:
    """What is known of one run.

    `figures` metric@k -> fraction; `intervals` metric@k -> (low, high), at LEVEL; `differences` metric@k ->
    this run minus the first; `bins` as metrics.json's by_frequency; `predictions` with all that `truth` has,
    where both are still there. `notes` say what is missing, and why.
    """

    figures: dict[str, float]
    popularity: dict[str, float] | None
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    differences: "dict[str, Difference]" = field(default_factory=dict)
    bins: list[dict[str, Any]] = field(default_factory=list)
    predictions: "LabelLists | None" = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class TestSet:
    """The test's true labels with the documents' ids, and the pairs that its dataset leaves out."""

    __test__ = False  # no test of pytest's

    truth: "LabelLists"
    pairs: "LabelLists | None"

    @staticmethod
    def of(shards: Path) -> "TestSet":
        """The test split of a shards artifact. Raises XmcpipeError where it can't be read."""
        from xmcpipe.data.label_lists.files import filter_of_artifact, read_label_lists

        truth = read_label_lists(shards, "truth")
        return TestSet(truth, filter_of_artifact(shards, truth))


def measure(
    runs: Sequence[Run], rounds: int, seed: int, step: Callable[[], object] = lambda: None
) -> tuple[list[Measured], dict[str, TestSet]]:
    """A Measured for each run, and the test sets that are still there by `Run.test_set`.

    `rounds` of the bootstrap where one is needed, 0 for none; `step` is called twice for each run that is
    measured.
    """
    measured = [_of_metrics(run) for run in runs]
    there = [_is_there(run, mine) for run, mine in zip(runs, measured, strict=True)]
    tests: dict[str, TestSet] = {}
    for name in dict.fromkeys(run.test_set for run, is_there in zip(runs, there, strict=True) if is_there):
        group = [at for at, run in enumerate(runs) if run.test_set == name and there[at]]
        mine = [measured[at] for at in group]
        try:
            tests[name], systems = _measure_group([runs[at] for at in group], mine, step)
        except XmcpipeError as error:
            why = error.message.rstrip(". \n")  # a note becomes a sentence, and some messages are one already
            for each in mine:
                each.notes.append(f"nothing could be measured again: {why}")
                each.predictions = None
            continue
        for each, system in zip(mine, systems, strict=True):
            _fill_in(each, system, systems[0] if group[0] == 0 else None, rounds, seed)
            step()
    for run, each in zip(runs[1:], measured[1:], strict=True):
        each.notes += _on_differences(runs[0], run, measured[0])
    return measured, tests


def _on_differences(first: Run, run: Run, firsts: Measured) -> list[str]:
    """What has to be said of a run's difference to the first."""
    if run.test_set != first.test_set:
        return [f"measured on other documents than {first.name}: no difference is given"]
    if firsts.predictions is None:
        return [f"no difference is given: {first.name} could not be measured again"]
    if run.metrics["propensity"] != first.metrics["propensity"]:
        return [
            f"its PSP has another propensity than that of {first.name}, which the difference is measured with"
        ]
    return []


def _of_metrics(run: Run) -> Measured:
    metrics = run.metrics
    kept = metrics["intervals"] or {}
    intervals = {}
    if kept.get("level") == LEVEL:
        intervals = {name: (low, high) for name, (low, high) in kept["model"].items()}
    return Measured(metrics["model"], metrics["popularity"], intervals, bins=metrics["by_frequency"] or [])


def _is_there(run: Run, mine: Measured) -> bool:
    """Whether a run can be measured again; if it can't, a note says why."""
    for kind in ("predictions", "shards"):
        if run.folder(kind) is None:
            mine.notes.append(
                f"its {kind} are not in the store any more: intervals, differences and documents are shown "
                "as far as metrics.json has them"
            )
            return False
    return True


def _measure_group(
    runs: Sequence[Run], measured: Sequence[Measured], step: Callable[[], object]
) -> "tuple[TestSet, list[Evaluation]]":
    """Read the predictions of runs on the same test set into `measured`, and evaluate them."""
    from xmcpipe.data.label_lists.files import read_label_lists
    from xmcpipe.data.label_lists.lists import common_vocabulary
    from xmcpipe.stages.evaluate import training_of_shards
    from xmcpipe.stages.measuring import measure_lists, most_pairs

    shards = runs[0].folder("shards")
    assert shards, "looked for before"
    propensity = runs[0].metrics["propensity"] or {"kind": "standard", "a": 0.55, "b": 1.5}
    ks = sorted(set.intersection(*(set(run.metrics["k"]) for run in runs)))
    if not ks:
        raise XmcpipeError("the runs were evaluated at different k: no k is common to all")
    training = training_of_shards(shards, propensity["kind"])
    test = TestSet.of(shards)
    top = ks[-1] + (0 if test.pairs is None else most_pairs(test.pairs))
    for run, mine in zip(runs, measured, strict=True):
        folder = run.folder("predictions")
        assert folder, "looked for before"
        mine.predictions = read_label_lists(folder, "predictions", top=top)
        step()
    lists = [mine.predictions for mine in measured if mine.predictions is not None]
    others = lists if test.pairs is None else [*lists, test.pairs]
    common = common_vocabulary(others, test.truth, None)
    filtered = test.pairs is not None
    measured_now = measure_lists(common, training, ks, propensity["a"], propensity["b"], filtered=filtered)
    return test, measured_now.systems


def _fill_in(
    mine: Measured, system: "Evaluation", first: "Evaluation | None", rounds: int, seed: int
) -> None:
    from xmcpipe.metrics import compare

    if not mine.bins:
        mine.bins = [dataclasses.asdict(each) for each in system.by_frequency(BINS)]
    if not rounds:
        return
    if not mine.intervals:
        found = system.intervals(rounds, LEVEL, seed)
        mine.intervals = {name: (each.low, each.high) for name, each in found.items()}
    if first is not None and system is not first:
        mine.differences = compare(system, first, rounds, LEVEL, seed)
