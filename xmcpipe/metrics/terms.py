"""Metrics over documents: each is one sum over documents divided by another.

With y the set of true labels of a document, hit_j = 1 where its prediction of rank j is in y, w_l = 1/p_l,
d_j = 1 / log2(j + 1), and best_j the j-th largest w of the labels in y:

    found = hit_1 + … + hit_k                 gain = sum of hit_j w_j         best = best_1 + … + best_k
    ideal = d_1 + … + d_min(k, |y|)           PDCG = sum of hit_j w_j d_j     PIDCG = sum of best_j d_j

    P        sum found / k       / documents      always by k: a short prediction is a miss
    R        sum found / |y|     / documents
    nDCG     sum DCG / ideal     / documents
    hits     sum [found > 0]     / documents
    MRR      sum 1 / (rank of the first hit, if it is k or less)   / documents
    PSP_raw  sum gain / k        / documents      may exceed 1
    PSP      sum gain / k        / sum best / k   a ratio of means, as leaderboards have it, and not the
    PSR      sum gain / |y|      / sum best / |y|     mean of the documents' ratios
    PSnDCG   sum PDCG / ideal    / sum PIDCG / ideal
    micro_P  sum found           / sum of the predictions that were given
    micro_R  sum found           / sum |y|
    micro_F1 2 sum found         / (sum predictions + sum |y|)

A document without true labels adds 0 to what is above the line and stays in the count of documents, so that
all metrics are over the same documents. Because a figure is a ratio of sums, a mean of batch means is never
taken, and the bootstrap has only to sum again over the documents that it drew.

Legend: B documents · K ranks · C columns (terms) · k as in ks.
"""

from collections.abc import Sequence

import numpy as np

from xmcpipe.metrics.truth import Bools, Floats, Int64s

PLAIN = ("found", "recall", "ndcg", "any", "first", "predicted")
WEIGHTED = ("gain", "gain_recall", "gain_ndcg", "best", "best_recall", "best_ndcg")
NAMES = ("P", "nDCG", "R", "hits", "MRR", "PSP", "PSP_raw", "PSnDCG", "PSR")
MICRO = ("micro_P_all", "micro_R_all", "micro_F1_all")


class Terms:
    """The columns that the metrics at `ks` are made of; those with propensities where `weighted`."""

    def __init__(self, ks: Sequence[int], weighted: bool) -> None:
        self.ks = tuple(ks)
        self.weighted = weighted
        names = PLAIN + (WEIGHTED if weighted else ())
        # column 0 counts the documents, column 1 their true labels
        self._columns = {name: slice(2 + n * len(ks), 2 + (n + 1) * len(ks)) for n, name in enumerate(names)}
        self.width = 2 + len(names) * len(ks)

    def of(
        self,
        hits_BK: Bools,
        given_BK: Bools,
        sizes_B: Int64s,
        gains_BK: Floats | None = None,
        best_BK: Floats | None = None,
    ) -> Floats:
        """The terms of B documents, float64 [B, C].

        `hits_BK` says which predictions are right and `given_BK` which there are, K = max(ks) ranks of each;
        `sizes_B` is |y|. With propensities, `gains_BK` is w where there is a hit and `best_BK` as above.
        """
        discounts_K = discounts(hits_BK.shape[1])
        ideal_BK = _ideal_gains(sizes_B, discounts_K)
        true_B1 = np.maximum(sizes_B, 1)[:, None]
        found_BK = np.cumsum(hits_BK, axis=1)
        ranks_BK = {
            "found": found_BK,
            "recall": found_BK / true_B1,
            "ndcg": np.cumsum(hits_BK * discounts_K, axis=1) / ideal_BK,
            "any": found_BK > 0,
            "first": np.cumsum(_first_hit(hits_BK), axis=1),
            "predicted": np.cumsum(given_BK, axis=1),
        }
        for name, weights_BK in (("gain", gains_BK), ("best", best_BK)):
            if self.weighted and weights_BK is not None:
                sums_BK = np.cumsum(weights_BK, axis=1)
                ranks_BK[name] = sums_BK
                ranks_BK[f"{name}_recall"] = sums_BK / true_B1
                ranks_BK[f"{name}_ndcg"] = np.cumsum(weights_BK * discounts_K, axis=1) / ideal_BK
        terms_BC = np.empty((len(sizes_B), self.width))
        terms_BC[:, 0], terms_BC[:, 1] = 1, sizes_B
        at_ks = np.array(self.ks) - 1
        for name, columns in self._columns.items():
            terms_BC[:, columns] = ranks_BK[name][:, at_ks]
        return terms_BC

    def sums(self, sums_C: Floats, name: str) -> Floats:
        """The sums of one term, [..., len(ks)], out of all sums [..., C]."""
        return np.asarray(sums_C[..., self._columns[name]])

    def figures(self, sums_C: Floats) -> dict[str, Floats]:
        """Metric@k -> value [...], from sums [..., C]: over all documents, or of one resampling a row."""
        documents, positives = sums_C[..., 0], sums_C[..., 1]
        figures: dict[str, Floats] = {}
        for at, k in enumerate(self.ks):
            s = {name: self.sums(sums_C, name)[..., at] for name in self._columns}
            figures |= {
                f"P@{k}": _ratio(s["found"], k * documents),
                f"nDCG@{k}": _ratio(s["ndcg"], documents),
                f"R@{k}": _ratio(s["recall"], documents),
                f"hits@{k}": _ratio(s["any"], documents),
                f"MRR@{k}": _ratio(s["first"], documents),
                f"micro_P_all@{k}": _ratio(s["found"], s["predicted"]),
                f"micro_R_all@{k}": _ratio(s["found"], positives),
                f"micro_F1_all@{k}": _ratio(2 * s["found"], s["predicted"] + positives),
            }
            if self.weighted:
                figures |= {
                    f"PSP@{k}": _ratio(s["gain"], s["best"]),
                    f"PSP_raw@{k}": _ratio(s["gain"], k * documents),
                    f"PSR@{k}": _ratio(s["gain_recall"], s["best_recall"]),
                    f"PSnDCG@{k}": _ratio(s["gain_ndcg"], s["best_ndcg"]),
                }
        return figures


def discounts(k: int) -> Floats:
    """1 / log2(j + 1) for the ranks j = 1 … k, float64 [k]."""
    return np.asarray(1 / np.log2(np.arange(2, k + 2)))


def _ideal_gains(sizes_B: Int64s, discounts_K: Floats) -> Floats:
    """The largest DCG@j of a document with so many true labels, float64 [B, K] for j = 1 … K.

    1 (and not 0) for a document without true labels, whose DCG is 0: its quotient is 0.
    """
    reachable = np.concatenate([[1.0], np.cumsum(discounts_K)])
    gains: Floats = reachable[np.minimum(np.arange(1, len(discounts_K) + 1), sizes_B[:, None])]
    return gains


def _first_hit(hits_BK: Bools) -> Floats:
    """1 / rank at the first hit of each document and 0 elsewhere, float64 [B, K]."""
    first_BK = hits_BK & (np.cumsum(hits_BK, axis=1) == 1)
    return np.asarray(first_BK / np.arange(1, hits_BK.shape[1] + 1))


def _ratio(above: Floats, below: Floats) -> Floats:
    """above / below, and 0 where there is nothing below."""
    return np.asarray(above / np.where(below == 0, 1, below))
