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
    from xmcpipe.data.label_lists import CommonVocabulary, LabelLists
    from xmcpipe.metrics.evaluation import Evaluation
    from xmcpipe.metrics.propensity import Training
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


def read_and_measure(given: Given, ks: Sequence[int], a: float, b: float) -> Measured:
    """Measure files or artifacts. Raises XmcpipeError for what can't be read, joined or numbered alike."""
    import numpy as np

    from xmcpipe.data.label_files import read_label_lists
    from xmcpipe.data.label_lists import common_vocabulary
    from xmcpipe.metrics.propensity import Training
    from xmcpipe.metrics.truth import count_labels

    pairs = read_label_lists(given.filter, "filter") if given.filter else None
    more = int(np.diff(pairs.indptr).max(initial=0)) if pairs else 0  # candidates that the filter may take
    predictions = [read_label_lists(path, "predictions", top=ks[-1] + more) for path in given.predictions]
    common = common_vocabulary(
        predictions if pairs is None else [*predictions, pairs],
        read_label_lists(given.truth, "truth"),
        read_label_lists(given.train, "train") if given.train else None,
    )
    training = None
    if common.train:
        counts, repeated = count_labels(common.train.indptr, common.train.labels, common.num_labels)
        training = Training(counts, len(common.train), repeated)
    return measure_lists(common, training, ks, a, b, filtered=pairs is not None)


def measure_lists(
    common: "CommonVocabulary",
    training: "Training | None",
    ks: Sequence[int],
    a: float,
    b: float,
    filtered: bool = False,
) -> Measured:
    """Measure lists of one numbering; if `filtered`, the last of `common.others` are pairs to leave out."""
    import numpy as np

    from xmcpipe.data.label_lists import pair_rows
    from xmcpipe.metrics.baseline import most_frequent
    from xmcpipe.metrics.evaluation import Against, measure

    truth, k = common.truth, ks[-1]
    try:
        against = Against(truth, common.num_labels, tuple(ks), training, a, b)
    except XmcpipeError as error:
        raise XmcpipeError(f"{truth.source}: {error.message}", error.hint) from error
    predictions, pairs = common.others, None
    if filtered:
        predictions, pairs = common.others[:-1], pair_rows(common.others[-1], truth)
    tops, system_facts = [], []
    for lists in predictions:
        top_NK, facts = _ranked(lists, truth, k, pairs, common.num_labels)
        tops.append(top_NK)
        system_facts.append(facts)
    if training:
        popular_K = most_frequent(training.counts, k)
        tops.append(np.broadcast_to(popular_K, (len(truth), k)))
    evaluations = measure(tops, against)
    facts = {
        "k": list(ks),
        "documents": len(truth),
        "labels": common.num_labels,
        "labels_from": common.origin,
        "labels_in_test": evaluations[0].tested,
        "labels_in_training": int(np.count_nonzero(training.counts)) if training else None,
        "documents_without_truth": against.empty,
        "repeated_labels_merged": against.repeated + (training.repeated if training else 0),
        "propensity": {"a": a, "b": b, "n": training.documents} if training else None,
        "filter": None
        if pairs is None
        else {"pairs": len(pairs.labels), "true": _true_pairs(pairs, against)},
    }
    popularity = evaluations.pop() if training else None
    return Measured(evaluations, popularity, facts, system_facts)


def _ranked(
    lists: "LabelLists", truth: "LabelLists", k: int, pairs: "LabelLists | None", num_labels: int
) -> "tuple[Int64s, dict[str, Any]]":
    """The rankings of one system in the order of the truth, int64 [N, k], and what was unusual in them."""
    from xmcpipe.data.label_lists import prediction_rows, taken
    from xmcpipe.metrics.api import rank_all

    rows, joined_by = prediction_rows(lists, truth)
    if rows is not None:
        lists = taken(lists, rows)
    try:
        ranking = rank_all(lists, k, pairs)
    except XmcpipeError as error:
        raise XmcpipeError(f"{lists.source}: {error.message}", error.hint) from error
    top_NK = ranking.top
    facts: dict[str, Any] = {
        "joined_by": joined_by,
        "documents_with_short_predictions": int((top_NK[:, -1] < 0).sum()),
        "predictions_of_unknown_labels": int((top_NK >= num_labels).sum()),
    }
    if pairs is not None:
        short = (ranking.left_out > 0) & (ranking.given - ranking.left_out < k)
        facts["predictions_filtered"] = int(ranking.left_out.sum())
        facts["documents_short_by_filter"] = int(short.sum())
    return top_NK, facts


def _true_pairs(pairs: "LabelLists", against: Any) -> int:
    """How many pairs to leave out are true: no system can hit them, and the best ranking still has them."""
    import numpy as np

    true = 0
    for rows, batch, _ in against.batches():
        indptr = pairs.indptr[rows.start : rows.stop + 1]
        documents = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
        true += int(batch.holds(documents, pairs.labels[indptr[0] : indptr[-1]]).sum())
    return true


def without_names(lists: "LabelLists") -> "LabelLists":
    """The lists, of ids of a vocabulary that need no names any more."""
    return replace(lists, names=None)
