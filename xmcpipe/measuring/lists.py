"""Measures label lists of one numbering against the truth: joins rows, excludes pairs, computes figures.

A figure alone can't be compared with another figure. The facts that influence it are therefore reported too:
the numbers of documents and labels, where the labels come from, A, B and N of the propensity, and how many
inputs were unusual.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from xmcpipe.errors import XmcpipeError

if TYPE_CHECKING:
    from xmcpipe.data.label_lists.lists import LabelLists
    from xmcpipe.data.label_lists.numbering import CommonVocabulary
    from xmcpipe.metrics.evaluation import Evaluation, Reference
    from xmcpipe.metrics.propensity import Training
    from xmcpipe.metrics.ranking import Ranking
    from xmcpipe.metrics.truth import Int64s


@dataclass(frozen=True)
class Measurement:
    """Systems measured against the same truth.

    `labels` has the name or id of each label, None if numbers are ids. `systems` are in the order of the
    predictions. `popularity` is the baseline, or None without training
    labels. `facts` hold for all systems; `system_facts` has one table per system. Both have JSON types.
    """

    systems: "list[Evaluation]"
    popularity: "Evaluation | None"
    facts: dict[str, Any]
    system_facts: list[dict[str, Any]]
    labels: Any = None


# Long: the steps share nine values, and are read best one after the other.
def measure_lists(
    common: "CommonVocabulary",
    training: "Training | None",
    ks: Sequence[int],
    a: float,
    b: float,
    filtered: bool = False,
    doubts: Iterable[str] | None = None,
) -> Measurement:
    """Measure lists of one numbering at the ranks `ks`, with the propensity constants `a` and `b`.

    If `filtered`, the last element of `common.others` has the pairs to exclude. With `doubts`, sentences
    about the inputs, the lists are checked for further doubts, and all are the fact `warnings`. Raises
    XmcpipeError, naming the source of the lists, for a truth or for predictions that can't be measured.
    """
    from xmcpipe.data.label_lists.joining import pair_rows
    from xmcpipe.metrics.api import without_pairs
    from xmcpipe.metrics.evaluation import Reference, measure

    truth, predictions, pairs, k = common.truth, common.others, None, ks[-1]
    if filtered:
        predictions, pairs = common.others[:-1], pair_rows(common.others[-1], truth)
    with _naming(truth):
        true = truth if pairs is None else without_pairs(truth, pairs)
        reference = Reference(true, common.num_labels, tuple(ks), training, a, b, exclude=pairs)
    ranked = [_ranked(lists, truth, k, pairs, common) for lists in predictions]
    rankings, joins = zip(*ranked, strict=True)
    # The baseline is measured as one more system, in the same pass over the truth.
    tops = [ranking.top for ranking in rankings]
    if training:
        tops.append(_popular(training.counts, len(truth), k, pairs))
    evaluations = measure(tops, reference)
    facts = _facts(common, reference, evaluations[0], pairs)
    if doubts is not None:
        facts["warnings"] = [*doubts, *_doubts(common, predictions, rankings, training, pairs)]
    popularity = evaluations.pop() if training else None
    if pairs is not None:
        for evaluation, ranking in zip(evaluations, rankings, strict=True):
            evaluation.unusual |= ranking.filter_cost()
    system_facts = [
        {"joined_by": joined_by, **_only_in(evaluation.unusual, facts)}
        for joined_by, evaluation in zip(joins, evaluations, strict=True)
    ]
    return Measurement(evaluations, popularity, facts, system_facts, common.labels)


def _doubts(
    common: "CommonVocabulary",
    predictions: "Sequence[LabelLists]",
    rankings: "Sequence[Ranking]",
    training: "Training | None",
    pairs: "LabelLists | None",
) -> Iterator[str]:
    """Sentences about systems that fit the truth as if one of the two were another file, and about `pairs`.

    Raises XmcpipeError for pairs to exclude of which no label occurs elsewhere.
    """
    import numpy as np

    from xmcpipe.data.label_lists.numbering import OCCURRING
    from xmcpipe.metrics.misread.doubts import (
        doubts_about_hits,
        doubts_about_labels,
        doubts_about_trained,
    )
    from xmcpipe.metrics.misread.excluded import doubts_about_excluded
    from xmcpipe.metrics.misread.order import doubts_about_copies
    from xmcpipe.metrics.misread.shape import doubts_about_training

    truth, trained = common.truth, training is not None
    if pairs is not None:
        yield from doubts_about_excluded(pairs, predictions, truth, common.num_labels, common.labels)
    if training and common.train:
        fixed, source = common.origin != OCCURRING, common.train.source
        yield from doubts_about_trained(training.counts, truth, common.labels, source, fixed)
        yield from doubts_about_training(training.counts, truth, common.train.source)
    named = common.labels is not None and not isinstance(common.labels, np.ndarray)
    for lists, ranking in zip(predictions, rankings, strict=True):
        yield from doubts_about_labels(lists, truth, common.num_labels, common.labels, trained)
        ids = None if named else common.labels
        if lists.scores is None:
            yield from doubts_about_copies(lists.source, ranking.top, truth.indptr, truth.labels)
        yield from doubts_about_hits(lists.source, ranking.top, truth.indptr, truth.labels, ids, named)


def _only_in(counts: Mapping[str, int], facts: Mapping[str, Any]) -> dict[str, int]:
    """The counts that `facts`, which hold for all systems, don't have."""
    return {name: count for name, count in counts.items() if name not in facts}


def _facts(
    common: "CommonVocabulary", reference: "Reference", first: "Evaluation", pairs: "LabelLists | None"
) -> dict[str, Any]:
    """The facts that hold for all systems (JSON types).

    `first` is the evaluation of any of the systems; `pairs` are the excluded pairs.
    """
    import numpy as np

    training = reference.training
    return {
        "k": list(reference.ks),
        "documents": reference.documents,
        "labels": common.num_labels,
        "labels_from": common.origin,
        "labels_in_test": first.tested,
        "labels_in_training": int(np.count_nonzero(training.counts)) if training else None,
        # Both are properties of the truth, so they are the same for every system.
        **{name: first.unusual[name] for name in ("documents_without_truth", "repeated_labels_merged")},
        "propensity": None
        if training is None
        else {"kind": training.kind, "a": reference.a, "b": reference.b, "n": training.documents},
        "filter": None
        if pairs is None
        else {
            "pairs": _distinct_pairs(pairs),
            "true": len(common.truth.labels) - len(reference.truth.labels),
        },
    }


def _distinct_pairs(pairs: "LabelLists") -> int:
    """The number of pairs, without repetitions within a row."""
    from xmcpipe.metrics.truth import count_labels

    _, repeated = count_labels(pairs.indptr, pairs.labels, 1 + int(pairs.labels.max(initial=0)))
    return len(pairs.labels) - repeated


def _popular(counts: "Int64s", documents: int, k: int, pairs: "LabelLists | None") -> "Int64s":
    """The rankings of the popularity baseline, int64 [N, k].

    A document with excluded pairs gets the next most frequent labels instead.
    """
    import numpy as np

    from xmcpipe.data.label_lists.lists import select_rows
    from xmcpipe.metrics.api import rank_all
    from xmcpipe.metrics.baseline import most_frequent
    from xmcpipe.metrics.inputs import Rows

    same_NK = np.broadcast_to(most_frequent(counts, k), (documents, k))
    if pairs is None or not len(pairs.labels):
        return same_NK
    # Only documents with excluded pairs are ranked again: for all N documents, an array of k + (the largest
    # number of pairs) candidates would not fit in memory.
    sizes = np.diff(pairs.indptr)
    filtered = np.flatnonzero(sizes)
    candidates = most_frequent(counts, k + int(sizes.max()))
    candidates = candidates[candidates >= 0]
    indptr = len(candidates) * np.arange(len(filtered) + 1)
    rows = Rows("popularity", indptr, np.tile(candidates, len(filtered)))
    top_NK = same_NK.copy()
    top_NK[filtered] = rank_all(rows, k, select_rows(pairs, filtered)).top
    return top_NK


def _ranked(
    lists: "LabelLists",
    truth: "LabelLists",
    k: int,
    pairs: "LabelLists | None",
    common: "CommonVocabulary",
) -> "tuple[Ranking, str]":
    """The rankings of one system, in the order of the N documents of the truth, and how rows were joined."""
    import numpy as np

    from xmcpipe.data.label_lists.joining import prediction_rows
    from xmcpipe.data.label_lists.lists import select_rows
    from xmcpipe.metrics.api import rank_all, require_known_labels
    from xmcpipe.metrics.ranking import Ranking

    rows, joined_by = prediction_rows(lists, truth)
    # `rows` is the permutation from the truth to the file; its argsort is the inverse, from file to truth.
    if rows is not None and pairs is not None:
        pairs = select_rows(pairs, np.argsort(rows))
    with _naming(lists):
        require_known_labels(lists, truth, common.num_labels, common.labels)
        ranking = rank_all(lists, k, pairs)  # in the order of the file, so that an error names a row of it
    if rows is not None:
        ranking = Ranking(ranking.top[rows], ranking.candidates[rows], ranking.excluded[rows])
    return ranking, joined_by


@contextmanager
def _naming(lists: "LabelLists") -> Iterator[None]:
    """Put the source of `lists` in front of an error that is raised in the block."""
    try:
        yield
    except XmcpipeError as error:
        raise XmcpipeError(f"{lists.source}: {error.message}", error.hint) from error


def most_pairs(pairs: "LabelLists") -> int:
    """The largest number of excluded pairs of one document: that many candidates may be removed."""
    import numpy as np

    return int(np.diff(pairs.indptr).max(initial=0))


def without_names(lists: "LabelLists") -> "LabelLists":
    """The lists without label names, for lists whose ids are of the same vocabulary already."""
    return replace(lists, names=None)
