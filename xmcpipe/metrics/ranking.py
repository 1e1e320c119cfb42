"""From scored labels to rankings: the order by (-score, label id), pairs left out, the cut to the best k.

Ties are the first trap of these metrics: one library prefers the highest id, another the lowest, a third
whatever its sort leaves. Here the lower id comes first, so that a tie has one answer on every machine (where
labels are numbered by what truth and training have, one that only the predictions have comes after). The
second is the filter: a pair that is neither a hit nor a miss is taken from the candidates before they are
cut, so that the next one moves up; to blank it afterwards costs a rank.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xmcpipe.errors import XmcpipeError
from xmcpipe.metrics.truth import Bools, Int64s, Ints, TruthBatch

Scores = npt.NDArray[np.floating[Any] | np.integer[Any]]


@dataclass(frozen=True)
class Ranking:
    """The best labels of B documents, best first.

    `top` int64 [B, K], -1 where there are fewer than K; `given` int64 [B] candidates before, `left_out` int64
    [B] how many of them the filter took.
    """

    top: Int64s
    given: Int64s
    left_out: Int64s

    def filter_cost(self) -> dict[str, int]:
        """How many predictions the filter took, and how many documents that had K have fewer left."""
        k = self.top.shape[1]
        short = (self.given >= k) & (self.given - self.left_out < k)
        return {
            "predictions_filtered": int(self.left_out.sum()),
            "documents_short_by_filter": int(short.sum()),
        }


def rank(
    indptr: Ints,
    labels: Ints,
    scores: Scores | None,
    k: int,
    exclude: TruthBatch | None = None,
    first: int = 0,
) -> Ranking:
    """The k best labels of each document.

    Document b has the candidates `labels[indptr[b] - indptr[0] : …]` with `scores` of the same length, in any
    order; without scores they are best first already. Pairs of `exclude` are no candidates. Raises
    XmcpipeError for a score that is not a number and for a label that a document predicts twice, naming the
    row: `first` is that of the first document.
    """
    given = sizes = np.diff(indptr).astype(np.int64)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    if exclude is not None:
        kept = ~exclude.holds(rows, labels)
        rows, labels = rows[kept], labels[kept]
        scores = None if scores is None else scores[kept]
        sizes = np.bincount(rows, minlength=len(sizes)).astype(np.int64)
    if scores is not None:
        labels = labels[_best_first(rows, labels, scores, first)]
    ranks_BK = np.arange(k) + (np.cumsum(sizes) - sizes)[:, None]
    present_BK = np.arange(k) < sizes[:, None]
    top_BK = np.full(present_BK.shape, -1, np.int64)
    top_BK[present_BK] = labels[ranks_BK[present_BK]]
    _refuse_repeated(top_BK, first)
    return Ranking(top_BK, given, given - sizes)


def _best_first(rows: Int64s, labels: Ints, scores: Scores, first: int) -> Int64s:
    """The order that sorts each row by (-score, label)."""
    not_numbers = np.isnan(scores)
    if not_numbers.any():
        row = first + int(rows[not_numbers.argmax()])
        raise XmcpipeError(
            f"scores are not numbers (NaN), the first in row {row}",
            "a ranking needs numbers: see why the model gave none",
        )
    same, before, after = rows[1:] == rows[:-1], scores[:-1], scores[1:]
    ordered: Bools = (before > after) | ((before == after) & (labels[:-1] <= labels[1:]))
    if np.all(ordered | ~same):  # as a predictor writes them, and sorting would be most of the work
        return np.arange(len(rows))
    # inverted and not negated: that turns the order of every integer type round, unsigned ones too
    falling = np.invert(scores) if scores.dtype.kind in "bui" else -scores
    return np.lexsort((labels, falling, rows))


def _refuse_repeated(top_BK: Int64s, first: int) -> None:
    in_order = np.sort(top_BK, axis=1)
    twice = ((in_order[:, 1:] == in_order[:, :-1]) & (in_order[:, 1:] >= 0)).any(axis=1)
    if twice.any():
        raise XmcpipeError(
            f"row {first + int(twice.argmax())} predicts a label more than once",
            "predictions are sets: write each label once a document (rows are counted from 0)",
        )
