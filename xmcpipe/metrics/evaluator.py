"""All metrics of one set of predictions, fed batch by batch.

It holds sums and per-label counts, never documents, and divides once, at the end: the figures do not depend
on how the documents were cut into batches. Several evaluators (a model and its baseline) share the work on
the truth.
"""

from collections.abc import Sequence

import numpy as np

from xmcpipe.metrics.macro import LabelCounts
from xmcpipe.metrics.propensity import LabelWeights, PropensitySums
from xmcpipe.metrics.ranking import RankingSums, ideal_gains
from xmcpipe.metrics.truth import Floats, Int64s, TruthBatch


class Evaluator:
    """Metrics at each of `ks` (rising) over `num_labels` labels; PSP and PSnDCG where `weights` are given."""

    def __init__(self, num_labels: int, ks: Sequence[int], weights: LabelWeights | None = None) -> None:
        self._ks = tuple(ks)
        self._ranking = RankingSums(self._ks[-1])
        self._labels = LabelCounts(num_labels, self._ks)
        self._propensity = PropensitySums(weights, self._ks[-1]) if weights else None

    @property
    def tested(self) -> int:
        """Labels with at least one document among those added."""
        return self._labels.tested

    def add(self, top_BK: Int64s, truth: TruthBatch, best_BK: Floats | None = None) -> None:
        """Add B documents: their K = max(ks) best labels, best first, -1 for none; their truth;
        `LabelWeights.best`.

        `top_BK` has no label twice in a row, as `best_labels` makes it.
        """
        hits_BK = truth.hits(top_BK)
        ideal_BK = ideal_gains(truth.sizes, top_BK.shape[1])
        self._ranking.add(hits_BK, truth.sizes, ideal_BK)
        self._labels.add(top_BK, hits_BK, truth.labels)
        if self._propensity:
            assert best_BK is not None, "PSP needs the weights of the best ranking"
            self._propensity.add(top_BK, hits_BK, best_BK, ideal_BK)

    def figures(self) -> dict[str, float]:
        """Name@k -> value, as fractions (1 is perfect, but for PSP_raw)."""
        figures: dict[str, float] = {}
        for k in self._ks:
            figures |= self._ranking.figures(k)
            if self._propensity:
                figures |= self._propensity.figures(k)
            figures |= self._labels.figures(k)
        return figures


def evaluate(
    top_NK: Int64s,
    indptr: Int64s,
    labels: Int64s,
    num_labels: int,
    ks: Sequence[int],
    inverse: Floats | None = None,
) -> dict[str, float]:
    """All metrics of predictions [N, max(ks)] against a truth in CSR, in one call; `inverse` is 1/p_l,
    [L].
    """
    weights = LabelWeights.of(inverse) if inverse is not None else None
    truth = TruthBatch.of(np.asarray(indptr), np.asarray(labels), num_labels)
    evaluator = Evaluator(num_labels, ks, weights)
    evaluator.add(top_NK, truth, weights.best(truth, ks[-1]) if weights else None)
    return evaluator.figures()
