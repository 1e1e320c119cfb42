"""The functions for other programs: matrices and lists in, an Evaluation out."""

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from xmcpipe.errors import XmcpipeError
from xmcpipe.lookalikes.inputs import row_counts
from xmcpipe.lookalikes.spelling import pairs_spelt_otherwise
from xmcpipe.metrics.evaluation import ROWS, Evaluation, Reference, measure
from xmcpipe.metrics.inputs import Rows, rows_of, with_one_numbering
from xmcpipe.metrics.misread.doubts import (
    MisreadWarning,
    doubts_about_hits,
    doubts_about_labels,
    doubts_about_roles,
    doubts_about_trained,
    examples,
)
from xmcpipe.metrics.misread.excluded import doubts_about_excluded
from xmcpipe.metrics.misread.order import doubts_about_copies
from xmcpipe.metrics.misread.shape import doubts_about_shape, doubts_about_training
from xmcpipe.metrics.misread.spelling import MOST_NAMES, doubts_about_spelling
from xmcpipe.metrics.propensity import Training
from xmcpipe.metrics.ranking import Ranking, rank
from xmcpipe.metrics.truth import TruthBatch, count_labels


# Long: the docstring is the reference page of the function that other programs call.
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
    is a score. A list of predictions holds labels, best first, or pairs (label, score). A dense array of
    predictions holds scores [N, L] if it is of floats, and rankings [N, K], with -1 for none, if it is of
    integers; another dense array holds 0 and 1, [N, L]. `train` has its own rows, or is a `Training` of
    counts: it adds PSP, PSR and PSnDCG, with the constants `a` and `b` of the dataset, and `by_frequency`.
    `exclude` holds pairs that count neither as hits nor as misses: they are removed from the truth, and from
    the candidates before the cut to max(k), so give more candidates than max(k). `unusual` of the result
    counts what this removed, and other unusual inputs.

    L is the width of the matrices, `num_labels` or the number of training counts; without any of them, the
    number of distinct labels in truth and train. Raises XmcpipeError for counts or widths that don't match,
    ranks that are not integers, a score that is not a number, a label predicted twice in a document,
    predictions or pairs to exclude that contain unknown labels only, a truth without any label, inputs that
    are neither a matrix nor a list, 0/1 vectors in place of lists, and predictions and truth that are surely
    swapped. Warns with MisreadWarning of inputs that are probably not what they are taken for: graded truth,
    ids counted from 1, rows or labels of another dataset, labels that are spelt in two ways.
    """
    training = train if isinstance(train, Training) else None
    lists = None if training else train
    parts = {"truth": truth, "train": lists, "predictions": predictions, "exclude": exclude}
    rows = {what: None if value is None else rows_of(value, what) for what, value in parts.items()}
    (true, trained, predicted, excluded), labels, names = with_one_numbering(
        list(rows.values()), 2, _fixed(num_labels, training)
    )
    _require_same_documents(true, predicted, excluded)
    inputs = rows["predictions"], rows["truth"]
    assert inputs[0] is not None
    assert inputs[1] is not None
    doubts = list(doubts_about_roles(*inputs, inputs[1].grades, inputs[0].ranked))
    known = [part for part in (rows["truth"], rows["train"]) if part is not None]
    doubts += [*doubts_about_spelling(inputs[0], known), *doubts_about_spelling(inputs[1], known[1:])]
    if excluded is not None:
        doubts += doubts_about_spelling(rows["exclude"], [*known, inputs[0]])
        doubts += doubts_about_excluded(excluded, [predicted], true, labels, names)
    if trained is not None:
        counts, repeated = count_labels(trained.indptr, trained.labels, labels)
        training = Training(counts, len(trained), repeated)
    if excluded is not None:
        true = without_pairs(true, excluded)
    reference = Reference(true, labels, _ranks(k), training, a, b, exclude=excluded)
    require_known_labels(predicted, true, labels, names)
    ranking = rank_all(predicted, reference.ks[-1], excluded)
    named = names is not None and names.dtype.kind == "U"
    doubts += doubts_about_labels(predicted, true, labels, names, training is not None)
    doubts += doubts_about_shape(inputs[1])
    if training is not None:
        fixed = names is None
        doubts += doubts_about_trained(training.counts, true, names, "the training labels", fixed)
        doubts += doubts_about_training(training.counts, true)
    if predicted.scores is None and not predicted.ranked:
        doubts += doubts_about_copies("predictions", ranking.top, true.indptr, true.labels)
    doubts += doubts_about_hits("predictions", ranking.top, true.indptr, true.labels, names, named)
    for doubt in doubts:
        warnings.warn(doubt, MisreadWarning, stacklevel=2)
    (evaluation,) = measure([ranking.top], reference)
    if excluded is not None:
        evaluation.unusual |= ranking.filter_cost()
    return evaluation


def require_known_labels(predictions: Any, truth: Any, num_labels: int, names: Any = None) -> None:
    """Raise XmcpipeError if no predicted label is one of the L: the predictions are of another dataset.

    So too if there are no predictions at all. Both have labels, by number; `names` has the label of each
    number, None if the numbers are ids.
    """
    if not len(predictions.labels):
        raise XmcpipeError(
            f"none of {len(predictions.indptr) - 1:,} documents has a prediction",
            "give at least one label for some document: is the file that of the predictions?",
        )
    if int(predictions.labels.min()) < num_labels:
        return
    got, expected = (examples(part.labels, names) for part in (predictions, truth))
    raise XmcpipeError(
        f"none of the predicted labels is in truth or training: such as {got}; the truth has {expected}",
        _alike(predictions.labels, truth.labels, names) or "use one vocabulary for both",
    )


def _alike(predicted: Any, true: Any, names: Any) -> str:
    """What to do if the first labels are spelt in two ways in both; "" if they aren't or have no names."""
    if names is None:
        return ""
    named = [[str(names[number]) for number in np.unique(part)[:MOST_NAMES]] for part in (predicted, true)]
    pairs = pairs_spelt_otherwise(*named)
    return f"write labels alike, not {pairs[0][0]!r} and {pairs[0][1]!r}" if pairs else ""


def rank_all(predictions: Any, k: int, exclude: Any = None) -> Ranking:
    """`rank` for all documents, in batches, because sorting needs several times the memory of its input.

    `predictions` has indptr, labels and scores (or None); `exclude` has indptr and labels, for the same
    number of documents.
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
        whole.top[rows], whole.candidates[rows] = piece.top, piece.candidates
        whole.excluded[rows] = piece.excluded
    return whole


def without_pairs(lists: Any, exclude: Any) -> Rows:
    """True labels (indptr, labels) without the pairs of `exclude`, which has the same documents.

    Raises XmcpipeError if no true label remains.
    """
    remaining, sizes = [np.empty(0, lists.labels.dtype)], [np.zeros(1, np.int64)]
    for first in range(0, len(lists.indptr) - 1, ROWS):
        indptr = lists.indptr[first : first + ROWS + 1]
        labels = lists.labels[indptr[0] : indptr[-1]]
        rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
        stays = ~_excluded(exclude, first, int(labels.max(initial=0)) + 1).holds(rows, labels)
        remaining.append(labels[stays])
        sizes.append(np.bincount(rows[stays], minlength=len(indptr) - 1))  # also 0 for an emptied document
    labels = np.concatenate(remaining)
    if len(lists.labels) and not len(labels):
        raise XmcpipeError(
            "the pairs to exclude contain every true label",
            "give only the pairs that are neither hits nor misses",
        )
    return Rows("truth", np.cumsum(np.concatenate(sizes)), labels)


def _require_same_documents(truth: Rows, *parts: Rows | None) -> None:
    for part in parts:
        if part is not None and len(part) != len(truth):
            raise XmcpipeError(
                f"{part.what} has {len(part):,} rows, truth has {len(truth):,}",
                row_counts(part.what, len(part), "truth", len(truth), {part.width, truth.width}),
            )


def _fixed(num_labels: Any, training: Training | None) -> dict[str, int | None]:
    """The values of L that arguments other than matrices set, by name; None where one sets none."""
    if num_labels is not None and not (_is_whole(num_labels) and num_labels > 0):
        raise XmcpipeError(f"expected an integer num_labels >= 1, got {num_labels!r}")
    return {
        "num_labels": num_labels,
        "the training counts": None if training is None else len(training.counts),
    }


def _ranks(k: Any) -> tuple[int, ...]:
    ranks: list[Any] = list(k) if isinstance(k, Iterable) and not isinstance(k, str) else [None]
    if not all(map(_is_whole, ranks)):
        raise XmcpipeError(f"expected a list of ranks, got k = {k!r}", "for example (1, 3, 5)")
    return tuple(sorted(map(int, ranks)))


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _excluded(exclude: Any, first: int, width: int) -> TruthBatch:
    """The pairs to exclude of the batch that begins at document `first`, as a set of keys.

    `width` must exceed every label that is looked up: labels >= the width of the keys are never found.
    """
    indptr = exclude.indptr[first : first + ROWS + 1]
    labels = exclude.labels[indptr[0] : indptr[-1]]
    return TruthBatch.of(indptr, labels, max(width, int(labels.max(initial=0)) + 1))
