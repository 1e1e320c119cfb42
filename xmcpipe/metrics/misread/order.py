"""Tells from predictions alone, or beside the truth, that the order of their labels is none of a ranking.

True labels have no order, or that of their ids or names. Distances and ranks are smallest for the best label,
scores greatest. Predictions that are exactly the true labels are the truth, or look like it.

Legend: N documents · K ranks.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from xmcpipe.metrics.truth import Bools, Int64s, Ints, TruthBatch

SAMPLE = 2048  # documents
FEWEST = 20  # documents that are all predicted rightly: fewer may be chance
FEWEST_RISING = 3  # documents with several labels
RISING = 0.95  # share of documents: a tie or a fault in a few makes no scores of distances
SORTED_CHANCE = 9.2  # -ln of the chance (1e-4) that all rankings are sorted


def doubts_about_order(predictions: Any, ranked: bool) -> Iterator[str]:
    """A sentence if the labels of each document have no order but that of their ids or names.

    So too if scores seem to be distances or ranks, or are all equal.
    """
    name = str(getattr(predictions, "source", None) or predictions.what)
    if predictions.scores is None:
        sorted_by = None if ranked else _sorted_by(predictions)
        if sorted_by is not None:
            yield (
                f"{name} has no scores, and {sorted_by}: are these true labels? Predictions without scores "
                "must be best first"
            )
        return
    if not len(predictions.scores):
        return
    if _scores_rise(predictions):
        yield (
            f"the scores of {name} rise in each document, so that its last label is taken for the best: are "
            "they scores, and not ranks or distances?"
        )
    elif np.diff(predictions.indptr).max() > 1 and predictions.scores.min() == predictions.scores.max():
        yield (
            f"every score of {name} is {predictions.scores[0]:g}: the labels of a document are ranked by id "
            "alone. Give the scores"
        )
    elif _are_ranks(predictions):
        sizes = np.diff(predictions.indptr)
        yield (
            f"the scores of each document of {name} are whole numbers in a row, such as "
            f"{_first_scores(predictions, int(sizes.argmax()))}, and the greatest is taken for the best: are "
            "they ranks?"
        )


def doubts_about_copies(what: str, top_NK: Int64s, indptr: Int64s, labels: Ints) -> Iterator[str]:
    """A sentence if the predictions `what`, which have no scores, are exactly the true labels.

    `top_NK` are labels, best first, with -1 for none; `indptr` and `labels` are the truth of the same
    documents.
    """
    documents, ranks = len(indptr) - 1, top_NK.shape[1]
    if documents < FEWEST or not len(labels):
        return
    for first in range(0, documents, SAMPLE):
        top_BK = top_NK[first : first + SAMPLE]
        ends = indptr[first : first + len(top_BK) + 1]
        true = labels[ends[0] : ends[-1]]
        width = 1 + max(int(true.max(initial=0)), int(top_BK.max(initial=0)))
        truth = TruthBatch.of(ends, true.astype(np.int64), width)
        if not np.array_equal(truth.hits(top_BK).sum(axis=1), np.minimum(truth.sizes, ranks)):
            return
        if not np.array_equal((top_BK >= 0).sum(axis=1), np.minimum(truth.sizes, ranks)):
            return
    # Of documents with as many labels as ranks or more, the rest isn't seen.
    sizes = np.diff(indptr)
    if np.any((sizes > 1) & (sizes < ranks)):
        yield (
            f"{what} has no scores, and exactly the true labels in each of {documents:,} documents: is it "
            "the truth?"
        )


def _inside(lists: Any) -> Bools:
    """Whether a label and the next one are of the same document, bool [P - 1]."""
    inside = np.ones(max(len(lists.labels) - 1, 0), bool)
    ends = lists.indptr[1:-1]
    inside[ends[(ends > 0) & (ends < len(lists.labels))] - 1] = False
    return inside


def _steps(lists: Any, values: Any) -> tuple[Int64s, Int64s, Int64s]:
    """For each document with several labels, the steps of `values` that rise, those that fall, and all."""
    sizes = np.diff(lists.indptr)
    rows = np.repeat(np.arange(len(sizes)), sizes)[:-1][_inside(lists)]
    before, after = values[:-1][_inside(lists)], values[1:][_inside(lists)]
    count = len(sizes)
    rise, fall = (np.bincount(rows[each], minlength=count) for each in (after > before, after < before))
    several = sizes > 1
    return rise[several], fall[several], (sizes - 1)[several]


def _scores_rise(lists: Any) -> bool:
    """Whether scores rise in nearly each document of a file that has an order of its own, unlike a matrix."""
    if lists.width is not None and _rises(lists, lists.labels):
        return False
    rise, fall, _ = _steps(lists, lists.scores)
    return len(rise) >= FEWEST_RISING and bool(np.mean((rise > 0) & (fall == 0)) >= RISING)


def _rises(lists: Any, values: Any) -> bool:
    rise, _, steps = _steps(lists, values)
    return bool(np.array_equal(rise, steps))


def _are_ranks(lists: Any) -> bool:
    """Whether scores of each document are consecutive whole numbers, and don't stand best first."""
    sizes = np.diff(lists.indptr)
    filled = sizes > 0
    if int((sizes > 1).sum()) < FEWEST_RISING or np.any(lists.scores != np.floor(lists.scores)):
        return False
    starts = lists.indptr[:-1][filled]
    least = np.minimum.reduceat(lists.scores, starts)
    most = np.maximum.reduceat(lists.scores, starts)
    # Only the greatest may have been read: then ranks begin above 1.
    begins = bool(least.min() == least.max() and least.min() in (0, 1)) or bool(sizes[filled].min() > 2)
    if not begins or least.min() < 0 or not np.array_equal(most - least, sizes[filled] - 1):
        return False
    rows = np.repeat(np.arange(int(filled.sum())), sizes[filled])
    order = np.lexsort((lists.scores, rows))
    scores = lists.scores[order]
    distinct = bool(np.all((scores[1:] > scores[:-1]) | ~_inside(lists)))
    _, fall, steps = _steps(lists, lists.scores)
    return distinct and not np.array_equal(fall, steps)


def _first_scores(lists: Any, row: int) -> str:
    scores = sorted(lists.scores[lists.indptr[row] : lists.indptr[row + 1]].tolist())
    return ", ".join(f"{score:g}" for score in scores[:3])


def _sorted_by(lists: Any) -> str | None:
    """What is sorted in each of the first documents, beyond chance; equal lists count once."""
    names = getattr(lists, "names", None)
    if names is None:
        numbers = lists.labels.dtype.kind in "iu"
        rows = _first_rows(lists)
        return "the label ids of each document rise" if numbers and _are_sorted(rows) else None
    named = [tuple(names[label].as_py() for label in row) for row in _first_rows(lists)]
    if _are_sorted(named) or _are_sorted([tuple(map(str.casefold, row)) for row in named]):
        return "the labels of each document are in alphabetical order"
    return None


def _first_rows(lists: Any) -> list[tuple[int, ...]]:
    ends = pairwise(lists.indptr[: SAMPLE + 1].tolist())
    return [tuple(lists.labels[first:last].tolist()) for first, last in ends]


def _are_sorted(given: list[Any]) -> bool:
    rows = set(given)
    if len(rows) < 3 or any(list(row) != sorted(row) for row in rows):
        return False
    # A list of n labels is sorted by chance once in n! times.
    return sum(float(np.log(np.arange(1, len(row) + 1)).sum()) for row in rows) > SORTED_CHANCE
