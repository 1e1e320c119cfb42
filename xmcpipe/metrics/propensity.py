"""Propensity-scored metrics: a hit on a rare label weighs more, because its positives are more often missing.

Jain, Prabhu and Varma (KDD 2016) model the chance p_l that a true label l was recorded, from its n_l
documents among the N of the training set, with two constants A and B that belong to the dataset:

    1 / p_l = 1 + C (n_l + B)^-A,      C = (ln N - 1) (B + 1)^A

    PSP@k raw        = mean over documents of (1/k) · sum of 1/p over the hits in the top k       (may exceed
    1) PSP@k normalised = that mean / the same mean of the best possible ranking: a ratio of means, as
    leaderboards have it PSnDCG@k         = each hit also discounted, each document divided by its ideal DCG;
    then the same ratio of means

The figures mean nothing without A, B and N: record the three beside them.
"""

from dataclasses import dataclass

import numpy as np

from xmcpipe.errors import XmcpipeError
from xmcpipe.metrics.ranking import discounts
from xmcpipe.metrics.truth import Bools, Floats, Int64s, Ints, TruthBatch


def inverse_propensity(counts: Ints, documents: int, a: float = 0.55, b: float = 1.5) -> Floats:
    """1/p_l, float64 [L], from the training documents of each label, [L], and of the training set.

    Raises XmcpipeError for fewer than 3 training documents, where ln N < 1 would make rare labels weigh less
    than 1.
    """
    if documents < 3:
        raise XmcpipeError(
            f"{documents} training documents were given, PSP needs 3 or more", "leave the training labels out"
        )
    c = (np.log(documents) - 1) * (b + 1) ** a
    return np.asarray(1 + c * (counts + b) ** -a, np.float64)


@dataclass(frozen=True)
class LabelWeights:
    """Weights of the labels, with the order that finds a document's heaviest labels fast.

    `inverse` float64 [L] is 1/p_l; `descending` the same in falling order; `place` int64 [L] is where a label
    stands there.
    """

    inverse: Floats
    place: Int64s
    descending: Floats

    @staticmethod
    def of(inverse: Floats) -> "LabelWeights":
        """From 1/p_l of each label."""
        order = np.argsort(-inverse, kind="stable")
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        return LabelWeights(inverse, place, inverse[order])

    def best(self, truth: TruthBatch, k: int) -> Floats:
        """The k largest weights of each document's true labels, falling, float64 [B, k]; then 0."""
        labels = truth.labels
        # row * L + place: one sort orders the labels of every row by their weight
        rows = truth.keys - labels
        in_order = np.sort(rows + self.place[labels])
        starts = np.cumsum(truth.sizes) - truth.sizes
        present_BK = np.arange(k) < truth.sizes[:, None]
        best_BK = np.zeros(present_BK.shape)
        places = in_order[(starts[:, None] + np.arange(k))[present_BK]] % truth.num_labels
        best_BK[present_BK] = self.descending[places]
        return best_BK


class PropensitySums:
    """Sums of propensity-scored precision and nDCG, and of the best ones possible, at each rank up to k."""

    def __init__(self, weights: LabelWeights, k: int) -> None:
        self.documents = 0
        self._weights, self._discounts = weights, discounts(k)
        self._precision, self._best_precision = np.zeros(k), np.zeros(k)
        self._ndcg, self._best_ndcg = np.zeros(k), np.zeros(k)

    def add(self, top_BK: Int64s, hits_BK: Bools, best_BK: Floats, ideal_BK: Floats) -> None:
        """Add B documents: predictions, hits, `LabelWeights.best` and `ideal_gains`."""
        ranks = np.arange(1, top_BK.shape[1] + 1)
        gained_BK = np.where(hits_BK, self._weights.inverse[top_BK], 0.0)
        self.documents += len(top_BK)
        self._precision += np.cumsum(gained_BK.sum(axis=0)) / ranks
        self._best_precision += np.cumsum(best_BK.sum(axis=0)) / ranks
        self._ndcg += (np.cumsum(gained_BK * self._discounts, axis=1) / ideal_BK).sum(axis=0)
        self._best_ndcg += (np.cumsum(best_BK * self._discounts, axis=1) / ideal_BK).sum(axis=0)

    def figures(self, k: int) -> dict[str, float]:
        """PSP@k (normalised), PSP_raw@k and PSnDCG@k (normalised); needs a document with a true label."""
        at = k - 1
        return {
            f"PSP@{k}": float(self._precision[at] / self._best_precision[at]),
            f"PSP_raw@{k}": float(self._precision[at]) / self.documents,
            f"PSnDCG@{k}": float(self._ndcg[at] / self._best_ndcg[at]),
        }
