"""The functions for other people's programs: matrices and lists in, an Evaluation out."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from xmcpipe.errors import XmcpipeError
from xmcpipe.metrics.evaluation import ROWS, Against, Evaluation, measure
from xmcpipe.metrics.inputs import Rows, rows_of, with_one_numbering
from xmcpipe.metrics.propensity import Training
from xmcpipe.metrics.ranking import Ranking, rank
from xmcpipe.metrics.truth import Ints, TruthBatch, count_labels


def evaluate(
    predictions: Any,
    truth: Any,
    train: Any = None,
    *,
    k: Iterable[int] = (1, 3, 5),
    a: float = 0.55,
    b: float = 1.5,
    num_labels: int | None = None,
    exclude: Any = None,
) -> Evaluation:
    """Measure predictions of N documents: `evaluate(...).figures["P@1"]`.

    Each of predictions, truth, train and exclude is a SciPy sparse matrix [N, L] or a list of N label lists,
    of integers or strings; rows are joined by their position. In a matrix of predictions every stored value
    is a score; a list of predictions is best first, or of pairs (label, score); an integer array [N, K] of
    rankings with -1 for none will do too. `train` has rows of its own, or is a `Training` of counts: with it
    there are PSP, PSR and PSnDCG, with the constants `a` and `b` of the data set, and `by_frequency`.
    `exclude` are pairs that count neither as hits nor as misses: they are taken out of the truth, and out of
    the candidates before the best are cut, so give more candidates than max(k). What that took, and how many
    inputs were unusual otherwise, is in `unusual` of the result.

    L is the matrices' width, or `num_labels`, or the number of training counts, or else the number of labels
    that truth and train have. Raises XmcpipeError, saying what was wanted, for counts or widths that don't
    fit, ranks that aren't whole, a score that is not a number, a label predicted twice in a document,
    predictions of unknown labels alone, no true label at all, and whatever is neither matrix nor list.
    """
    training = train if isinstance(train, Training) else None
    lists = None if training else train
    parts = {"truth": truth, "train": lists, "predictions": predictions, "exclude": exclude}
    rows = [None if given is None else rows_of(given, what) for what, given in parts.items()]
    (true, trained, predicted, excluded), labels = with_one_numbering(rows, 2, _fixed(num_labels, training))
    for part in (predicted, excluded):
        if part is not None and len(part) != len(true):
            raise XmcpipeError(
                f"{part.what} has {len(part):,} rows and truth {len(true):,}",
                "give the same documents in the same order",
            )
    if trained is not None:
        counts, repeated = count_labels(trained.indptr, trained.labels, labels)
        training = Training(counts, len(trained), repeated)
    if excluded is not None:
        true = without_pairs(true, excluded)
    against = Against(true, labels, _ranks(k), training, a, b, exclude=excluded)
    refuse_strangers(predicted.labels, labels)
    ranking = rank_all(predicted, against.ks[-1], excluded)
    evaluation = measure([ranking.top], against)[0]
    if excluded is not None:
        evaluation.unusual |= ranking.filter_cost()
    return evaluation


def refuse_strangers(labels: Ints, num_labels: int) -> None:
    """Raise XmcpipeError where no predicted label is one of the L: that is no bad model but other labels."""
    if len(labels) and int(labels.min()) >= num_labels:
        raise XmcpipeError(
            "none of the predicted labels is in truth or training", "give ids or names of the same vocabulary"
        )


def rank_all(predictions: Any, k: int, exclude: Any = None) -> Ranking:
    """`rank` for Lists of all documents, a piece at a time because sorting takes several times its size.

    `predictions` has indptr, labels and scores (or None), `exclude` indptr and labels, of as many documents.
    """
    documents = len(predictions.indptr) - 1
    whole = Ranking(*(np.empty(shape, np.int64) for shape in ((documents, k), documents, documents)))
    for first in range(0, documents, ROWS):
        rows = slice(first, min(first + ROWS, documents))
        indptr = predictions.indptr[first : first + ROWS + 1]
        pairs = slice(int(indptr[0]), int(indptr[-1]))
        labels = predictions.labels[pairs]
        scores = None if predictions.scores is None else predictions.scores[pairs]
        excluded = None if exclude is None else _excluded(exclude, first, int(labels.max(initial=0)) + 1)
        piece = rank(indptr, labels, scores, k, excluded, first)
        whole.top[rows], whole.given[rows], whole.left_out[rows] = piece.top, piece.given, piece.left_out
    return whole


def without_pairs(lists: Any, exclude: Any) -> Rows:
    """True labels (indptr, labels) without the pairs of `exclude`, of as many documents.

    Raises XmcpipeError where that leaves none.
    """
    kept, sizes = [np.empty(0, lists.labels.dtype)], [np.zeros(1, np.int64)]
    for first in range(0, len(lists.indptr) - 1, ROWS):
        indptr = lists.indptr[first : first + ROWS + 1]
        labels = lists.labels[indptr[0] : indptr[-1]]
        rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
        stays = ~_excluded(exclude, first, int(labels.max(initial=0)) + 1).holds(rows, labels)
        kept.append(labels[stays])
        sizes.append(np.bincount(rows[stays], minlength=len(indptr) - 1))
    labels = np.concatenate(kept)
    if len(lists.labels) and not len(labels):
        raise XmcpipeError(
            "the pairs to leave out are all the true labels",
            "give the pairs that are neither hits nor misses",
        )
    return Rows("truth", np.cumsum(np.concatenate(sizes)), labels)


def _fixed(num_labels: Any, training: Training | None) -> dict[str, int | None]:
    """What fixes L, besides matrices."""
    if num_labels is not None and not (_is_whole(num_labels) and num_labels > 0):
        raise XmcpipeError(f"num_labels = {num_labels!r} was given, a number from 1 on was wanted")
    return {
        "num_labels": num_labels,
        "the training counts": None if training is None else len(training.counts),
    }


def _ranks(k: Any) -> tuple[int, ...]:
    ranks: list[Any] = list(k) if isinstance(k, Iterable) and not isinstance(k, str) else [None]
    if not all(map(_is_whole, ranks)):
        raise XmcpipeError(f"k = {k!r} was given, a list of ranks was wanted", "as in (1, 3, 5)")
    return tuple(sorted(map(int, ranks)))


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _excluded(exclude: Any, first: int, width: int) -> TruthBatch:
    indptr = exclude.indptr[first : first + ROWS + 1]
    labels = exclude.labels[indptr[0] : indptr[-1]]
    return TruthBatch.of(indptr, labels, max(width, int(labels.max(initial=0)) + 1))
