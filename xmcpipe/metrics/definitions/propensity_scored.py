"""Propensity-scored metrics: a hit on label l counts w_l = 1/p_l (see ../propensity.py for p).

With hit_j and d_j as in documents.py, and best_j the j-th largest w of the labels in y:

    gain = sum of hit_j w_j         best = best_1 + … + best_k        ideal = d_1 + … + d_min(k, |y|)
    PDCG = sum of hit_j w_j d_j     PIDCG = sum of best_j d_j

    PSP_raw  sum gain / k        / documents            may exceed 1
    PSP      sum gain / k        / sum best / k         a ratio of means, as leaderboards define it, and not
    PSR      sum gain / |y|      / sum best / |y|       the mean of the documents' ratios
    PSnDCG   sum PDCG / ideal    / sum PIDCG / ideal

All of them need the training labels, from which propensities are estimated.
"""

import numpy as np

from xmcpipe.metrics.terms import DocumentMetric, ScoredBatch, Term, ratio
from xmcpipe.metrics.truth import Floats


def _gains(batch: ScoredBatch) -> Floats:
    assert batch.gains is not None, "a term with needs_training"
    return batch.gains


def _best(batch: ScoredBatch) -> Floats:
    assert batch.best is not None, "a term with needs_training"
    return batch.best


def _sums(weights_BK: Floats) -> Floats:
    return np.asarray(np.cumsum(weights_BK, axis=1))


def _recall(weights_BK: Floats, batch: ScoredBatch) -> Floats:
    return _sums(weights_BK) / batch.at_least_one


def _ndcg(weights_BK: Floats, batch: ScoredBatch) -> Floats:
    """DCG of the weights, divided by the document's ideal DCG without weights."""
    return _sums(weights_BK * batch.discounts) / batch.ideal


GAIN = Term("gain", lambda batch: _sums(_gains(batch)), needs_training=True)
BEST = Term("best", lambda batch: _sums(_best(batch)), needs_training=True)
GAIN_RECALL = Term("gain_recall", lambda batch: _recall(_gains(batch), batch), needs_training=True)
BEST_RECALL = Term("best_recall", lambda batch: _recall(_best(batch), batch), needs_training=True)
GAIN_NDCG = Term("gain_ndcg", lambda batch: _ndcg(_gains(batch), batch), needs_training=True)
BEST_NDCG = Term("best_ndcg", lambda batch: _ndcg(_best(batch), batch), needs_training=True)

PSP = DocumentMetric("PSP", "PSP, normalised", (GAIN, BEST), lambda sums: ratio(sums[GAIN], sums[BEST]))
PSP_RAW = DocumentMetric(
    "PSP_raw", "PSP, raw", (GAIN,), lambda sums: ratio(sums[GAIN], sums.k * sums.documents)
)
PSR = DocumentMetric(
    "PSR",
    "PSR, normalised",
    (GAIN_RECALL, BEST_RECALL),
    lambda sums: ratio(sums[GAIN_RECALL], sums[BEST_RECALL]),
    in_summary=False,
)
PSNDCG = DocumentMetric(
    "PSnDCG",
    "PSnDCG, normalised",
    (GAIN_NDCG, BEST_NDCG),
    lambda sums: ratio(sums[GAIN_NDCG], sums[BEST_NDCG]),
)
