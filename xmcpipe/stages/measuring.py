"""From label lists of any source to metrics: one numbering, rows joined, pairs left out, figures and facts.

A figure alone can't be compared with anything, so beside the figures stand the counts of documents and labels
and what fixed them, A, B and N of the propensity, and how many inputs were unusual.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmcpipe.errors import XmcpipeError

if TYPE_CHECKING:
    from xmcpipe.data.label_lists.lists import CommonVocabulary, LabelLists
    from xmcpipe.metrics.evaluation import Evaluation, Reference
    from xmcpipe.metrics.propensity import Training
    from xmcpipe.metrics.ranking import Ranking
    from xmcpipe.metrics.truth import Int64s


@dataclass(frozen=True)
class Given:
    """What the user named: predictions of one or more systems, truth, and (or None) training and filter."""

    predictions: Sequence[Path]
    truth: Path
    train: Path | None = None
    filter: Path | None = None


@dataclass(frozen=True)
class Measured:
    """Systems measured against the same truth.

    `systems` in the order of the predictions and the popularity baseline (None without training labels);
    `facts` hold for all, `system_facts` for one each, in JSON types.
    """

    systems: "list[Evaluation]"
    popularity: "Evaluation | None"
    facts: dict[str, Any]
    system_facts: list[dict[str, Any]]


def read_and_measure(given: Given, ks: Sequence[int], a: float, b: float, propensity: str) -> Measured:
    """Measure files or artifacts; an artifact as truth also says which pairs to leave out.

    `propensity` is `standard`, or `paper` where the training labels are shards with label texts.

    Raises XmcpipeError for what can't be read, joined or numbered alike.
    """
    import numpy as np

    from xmcpipe.data.label_lists.files import filter_of_artifact, read_label_lists, read_training_lists
    from xmcpipe.data.label_lists.lists import common_vocabulary

    # the training labels first, and as counts at once: they may well be more than all else
    train, training = None, None
    if given.train:
        train, training = _counted(read_training_lists(given.train, propensity), propensity)
    truth = read_label_lists(given.truth, "truth")
    pairs = (
        read_label_lists(given.filter, "filter") if given.filter else filter_of_artifact(given.truth, truth)
    )
    filtered, more = pairs is not None, 0 if pairs is None else most_pairs(pairs)
    predictions = [read_label_lists(path, "predictions", top=ks[-1] + more) for path in given.predictions]
    common = common_vocabulary(predictions if pairs is None else [*predictions, pairs], truth, train)
    del truth, predictions, pairs  # as they were before the common numbering
    if training and common.train:
        counts = np.zeros(common.num_labels, np.int64)
        counts[common.train.labels] = training.counts
        training = replace(training, counts=counts)
    return measure_lists(common, training, ks, a, b, filtered=filtered)


def _counted(lists: "LabelLists", propensity: str) -> "tuple[LabelLists, Training]":
    """The labels that occur in the training lists, as lists of one row, and how often each does."""
    import numpy as np

    from xmcpipe.data.label_lists.lists import with_small_ids
    from xmcpipe.metrics.propensity import Training
    from xmcpipe.metrics.truth import count_labels

    small, values = with_small_ids(lists)
    counts, repeated = count_labels(small.indptr, small.labels, 1 + int(small.labels.max(initial=-1)))
    there = np.flatnonzero(counts)
    labels = there if values is None else values[there]
    row = replace(lists, ids=None, indptr=np.array([0, len(there)]), labels=labels)
    return row, Training(counts[there], len(lists), repeated, propensity)


def measure_lists(
    common: "CommonVocabulary",
    training: "Training | None",
    ks: Sequence[int],
    a: float,
    b: float,
    filtered: bool = False,
) -> Measured:
    """Measure lists of one numbering; if `filtered`, the last of `common.others` are pairs to leave out."""
    from xmcpipe.data.label_lists.lists import pair_rows
    from xmcpipe.metrics.api import without_pairs
    from xmcpipe.metrics.evaluation import Reference, measure

    truth, k = common.truth, ks[-1]
    predictions, pairs = common.others, None
    if filtered:
        predictions, pairs = common.others[:-1], pair_rows(common.others[-1], truth)
    try:
        true = truth if pairs is None else without_pairs(truth, pairs)
        against = Reference(true, common.num_labels, tuple(ks), training, a, b, exclude=pairs)
    except XmcpipeError as error:
        raise XmcpipeError(f"{truth.source}: {error.message}", error.hint) from error
    rankings, joins = zip(
        *(_ranked(lists, truth, k, pairs, common.num_labels) for lists in predictions), strict=True
    )
    tops = [ranking.top for ranking in rankings]
    if training:
        tops.append(_popular(training.counts, len(truth), k, pairs))
    evaluations = measure(tops, against)
    facts = _facts(common, against, evaluations[0], pairs)
    popularity = evaluations.pop() if training else None
    if pairs is not None:
        for evaluation, ranking in zip(evaluations, rankings, strict=True):
            evaluation.unusual |= ranking.filter_cost()
    system_facts = [
        {"joined_by": joined_by} | {name: count for name, count in each.unusual.items() if name not in facts}
        for joined_by, each in zip(joins, evaluations, strict=True)
    ]
    return Measured(evaluations, popularity, facts, system_facts)


def _distinct_pairs(pairs: "LabelLists") -> int:
    from xmcpipe.metrics.truth import count_labels

    _, repeated = count_labels(pairs.indptr, pairs.labels, 1 + int(pairs.labels.max(initial=0)))
    return len(pairs.labels) - repeated


def _popular(counts: "Int64s", documents: int, k: int, pairs: "LabelLists | None") -> "Int64s":
    """The popularity baseline as rankings, int64 [N, k]; documents with pairs to leave out get the next."""
    import numpy as np

    from xmcpipe.data.label_lists.lists import taken
    from xmcpipe.metrics.api import rank_all
    from xmcpipe.metrics.baseline import most_frequent
    from xmcpipe.metrics.inputs import Rows

    same_NK = np.broadcast_to(most_frequent(counts, k), (documents, k))
    if pairs is None or not len(pairs.labels):
        return same_NK
    sizes = np.diff(pairs.indptr)
    filtered = np.flatnonzero(sizes)
    more = most_frequent(counts, k + int(sizes.max()))
    more = more[more >= 0]
    indptr = len(more) * np.arange(len(filtered) + 1)
    candidates = Rows("popularity", indptr, np.tile(more, len(filtered)))
    top_NK = same_NK.copy()
    top_NK[filtered] = rank_all(candidates, k, taken(pairs, filtered)).top
    return top_NK


def _facts(
    common: "CommonVocabulary", against: "Reference", first: "Evaluation", pairs: "LabelLists | None"
) -> dict[str, Any]:
    """What holds for all systems, of which `first` is one; `pairs` were left out."""
    import numpy as np

    training = against.training
    return {
        "k": list(against.ks),
        "documents": against.documents,
        "labels": common.num_labels,
        "labels_from": common.origin,
        "labels_in_test": first.tested,
        "labels_in_training": int(np.count_nonzero(training.counts)) if training else None,
        **{name: first.unusual[name] for name in ("documents_without_truth", "repeated_labels_merged")},
        "propensity": None
        if training is None
        else {"kind": training.kind, "a": against.a, "b": against.b, "n": training.documents},
        "filter": None
        if pairs is None
        else {
            "pairs": _distinct_pairs(pairs),
            "true": len(common.truth.labels) - len(against.truth.labels),
        },
    }


def _ranked(
    lists: "LabelLists", truth: "LabelLists", k: int, pairs: "LabelLists | None", num_labels: int
) -> "tuple[Ranking, str]":
    """The rankings of one system in the order of the truth, N documents, and what rows were joined by."""
    import numpy as np

    from xmcpipe.data.label_lists.lists import prediction_rows, taken
    from xmcpipe.metrics.api import rank_all, require_known_labels
    from xmcpipe.metrics.ranking import Ranking

    rows, joined_by = prediction_rows(lists, truth)
    if rows is not None and pairs is not None:
        pairs = taken(pairs, np.argsort(rows))
    try:
        require_known_labels(lists.labels, num_labels)
        ranking = rank_all(lists, k, pairs)  # in the file's own order: an error names a row of it
    except XmcpipeError as error:
        raise XmcpipeError(f"{lists.source}: {error.message}", error.hint) from error
    if rows is not None:
        ranking = Ranking(ranking.top[rows], ranking.candidates[rows], ranking.excluded[rows])
    return ranking, joined_by


def most_pairs(pairs: "LabelLists") -> int:
    """The most pairs to leave out of one document: so many more candidates may be needed."""
    import numpy as np

    return int(np.diff(pairs.indptr).max(initial=0))


def without_names(lists: "LabelLists") -> "LabelLists":
    """The lists, of ids of a vocabulary that need no names any more."""
    return replace(lists, names=None)
