"""From scored labels to rankings: sort by (-score, label id), exclude pairs, cut to the best k.

Ties are the first trap of these metrics: one library prefers the highest id, another the lowest, and a third
the order that its unstable sort happens to produce. Here the lower id comes first, so that a tie has one
answer on every machine (where the labels of truth and training are numbered first, a label that only occurs
in predictions comes last). The second trap is the filter: a pair that is neither a hit nor a miss is removed
from the candidates before the cut, so that the next candidate moves up; blanking it afterwards would cost a
rank.

Legend: B documents of a batch · K ranks.
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

    `top` int64 [B, K], -1 where there are fewer than K; `candidates` int64 [B], their number before the
    filter; `excluded` int64 [B], the number that the filter removed.
    """

    top: Int64s
    candidates: Int64s
    excluded: Int64s

    def filter_cost(self) -> dict[str, int]:
        """How many predictions the filter removed, and how many documents had K and now have fewer."""
        k = self.top.shape[1]
        short = (self.candidates >= k) & (self.candidates - self.excluded < k)
        return {
            "predictions_filtered": int(self.excluded.sum()),
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
    order; without scores they are already best first. Pairs of `exclude` are not candidates. Raises
    XmcpipeError for a score that is not a number and for a label that a document predicts twice; the error
    names the row, where `first` is the row of the first document.
    """
    candidates = sizes = np.diff(indptr).astype(np.int64)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    if exclude is not None:
        stays = ~exclude.holds(rows, labels)
        rows, labels = rows[stays], labels[stays]
        scores = None if scores is None else scores[stays]
        sizes = np.bincount(rows, minlength=len(sizes)).astype(np.int64)
    if scores is not None:
        labels = labels[_best_first(rows, labels, scores, first)]
    ranks_BK = np.arange(k) + (np.cumsum(sizes) - sizes)[:, None]
    present_BK = np.arange(k) < sizes[:, None]
    top_BK = np.full(present_BK.shape, -1, np.int64)
    top_BK[present_BK] = labels[ranks_BK[present_BK]]
    _refuse_repeated(top_BK, first)
    return Ranking(top_BK, candidates, candidates - sizes)


def _best_first(rows: Int64s, labels: Ints, scores: Scores, first: int) -> Int64s:
    """The order that sorts each row by (-score, label)."""
    not_numbers = np.isnan(scores)
    if not_numbers.any():
        row = first + int(rows[not_numbers.argmax()])
        raise XmcpipeError(
            f"expected scores that are numbers, got NaN, first in row {row}",
            "find out why the model produced NaN",
        )
    same, before, after = rows[1:] == rows[:-1], scores[:-1], scores[1:]
    ordered: Bools = (before > after) | ((before == after) & (labels[:-1] <= labels[1:]))
    # Most predictors write sorted lists, and sorting them again would be most of the work.
    if np.all(ordered | ~same):
        return np.arange(len(rows))
    # Bits are inverted, not negated: this reverses the order of every integer type, unsigned ones too.
    falling = np.invert(scores) if scores.dtype.kind in "bui" else -scores
    return np.lexsort((labels, falling, rows))


def _refuse_repeated(top_BK: Int64s, first: int) -> None:
    in_order = np.sort(top_BK, axis=1)
    twice = ((in_order[:, 1:] == in_order[:, :-1]) & (in_order[:, 1:] >= 0)).any(axis=1)
    if twice.any():
        raise XmcpipeError(
            f"row {first + int(twice.argmax())} predicts a label more than once",
            "predict each label at most once per document (rows are counted from 0)",
        )
