"""Metrics of one document's ranking, summed over documents: P@k, R@k and nDCG@k.

With y the set of true labels and hit_j = 1 where the prediction of rank j is in y:

    P@k    = (hit_1 + … + hit_k) / k                 always by k: a short prediction is a miss
    R@k    = (hit_1 + … + hit_k) / |y|
    nDCG@k = DCG@k / min(IDCG@|y|, IDCG@k),          DCG@k = sum of hit_j / log2(j + 1), IDCG@k that of k hits

A document without true labels has 0 of each and stays in the mean: every metric is over the same documents.
Predictions are ordered by (-score, label id), so that a tie has one answer on every machine.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from xmcpipe.errors import XmcpipeError
from xmcpipe.metrics.truth import Bools, Floats, Int64s, Ints

Scores = npt.NDArray[np.floating[Any] | np.integer[Any]]


def best_labels(indptr: Ints, labels: Ints, scores: Scores | None, k: int) -> Int64s:
    """The k best labels of each document, int64 [B, k], best first; -1 where it has fewer.

    Document b predicts `labels[indptr[b] - indptr[0] : …]` with `scores` of the same length, in any order;
    without scores they are best first already. Raises XmcpipeError for a score that is not a number and for a
    label that a document predicts twice.
    """
    sizes = np.diff(indptr)
    starts = (indptr[:-1] - indptr[0]).astype(np.int64)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    if scores is not None:
        labels = labels[_best_first(rows, labels, scores)]
    ranks_BK = np.arange(k) + starts[:, None]
    present_BK = np.arange(k) < sizes[:, None]
    top_BK = np.full(present_BK.shape, -1, np.int64)
    top_BK[present_BK] = labels[ranks_BK[present_BK]]
    _refuse_repeated(top_BK)
    return top_BK


def discounts(k: int) -> Floats:
    """1 / log2(j + 1) for the ranks j = 1 … k, float64 [k]."""
    return np.asarray(1 / np.log2(np.arange(2, k + 2)))


def ideal_gains(sizes: Int64s, k: int) -> Floats:
    """The largest DCG@j that a document with so many true labels can have, float64 [B, k] for j = 1 … k.

    1 (and not 0) for a document without true labels, whose DCG is 0: its quotient is 0.
    """
    reachable = np.concatenate([[1.0], np.cumsum(discounts(k))])
    gains: Floats = reachable[np.minimum(np.arange(1, k + 1), sizes[:, None])]
    return gains


class RankingSums:
    """Sums of P, R and nDCG over documents at each rank up to k; a mean of batch means is never taken."""

    def __init__(self, k: int) -> None:
        self.documents = 0
        self.precision, self.recall, self.ndcg = np.zeros(k), np.zeros(k), np.zeros(k)
        self._discounts = discounts(k)

    def add(self, hits_BK: Bools, sizes_B: Int64s, ideal_BK: Floats) -> None:
        """Add B documents: their hits, how many true labels they have, and `ideal_gains`."""
        k = hits_BK.shape[1]
        found_BK = np.cumsum(hits_BK, axis=1)
        self.documents += len(hits_BK)
        self.precision += found_BK.sum(axis=0) / np.arange(1, k + 1)
        self.recall += (found_BK / np.maximum(sizes_B, 1)[:, None]).sum(axis=0)
        self.ndcg += (np.cumsum(hits_BK * self._discounts, axis=1) / ideal_BK).sum(axis=0)

    def figures(self, k: int) -> dict[str, float]:
        """The means over all documents added."""
        sums = {"P": self.precision, "nDCG": self.ndcg, "R": self.recall}
        return {f"{name}@{k}": float(sum_K[k - 1]) / self.documents for name, sum_K in sums.items()}


def _best_first(rows: Int64s, labels: Ints, scores: Scores) -> Int64s:
    """The order that sorts each row by (-score, label)."""
    not_numbers = np.isnan(scores)
    if not_numbers.any():
        row = rows[not_numbers.argmax()]
        raise XmcpipeError(
            f"{int(not_numbers.sum())} scores are not numbers (NaN), the first in row {row}",
            "a ranking needs numbers: see why the model gave none",
        )
    same, before, after = rows[1:] == rows[:-1], scores[:-1], scores[1:]
    ordered = (before > after) | ((before == after) & (labels[:-1] <= labels[1:]))
    if np.all(ordered | ~same):  # as a predictor writes them, and sorting would be most of the work
        return np.arange(len(rows))
    return np.lexsort((labels, -scores, rows))


def _refuse_repeated(top_BK: Int64s) -> None:
    in_order = np.sort(top_BK, axis=1)
    twice = ((in_order[:, 1:] == in_order[:, :-1]) & (in_order[:, 1:] >= 0)).any(axis=1)
    if twice.any():
        row = int(twice.argmax())
        raise XmcpipeError(
            f"{int(twice.sum())} documents predict a label more than once, the first of them in row {row}",
            "predictions are sets: write each label once a document",
        )
