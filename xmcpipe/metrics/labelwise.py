"""Metrics over labels: macro figures, where each label counts the same, micro figures and coverage.

A label's precision, recall and F1 come from three counts over the top k of all documents,

    P_l = right_l / predicted_l,   R_l = right_l / support_l,   F1_l = 2 right_l / (predicted_l + support_l),
    0/0 = 0.

The macro figure is their mean over labels, the micro figure divides the sums of the counts over labels, and
coverage is the share of labels that are right at least once. Over which labels is a choice that changes a
macro figure several times over, so all three are given, under names that differ:

    _all      all L labels, those of the training set and the test together
    _tested   labels with at least one document in the test
    _trained  labels with at least one document in the training set

Libraries differ here without saying so: the mean over all L, over labels in the test, or over ids up to the
largest that was seen, which is none of the three.
"""

from collections.abc import Sequence

import numpy as np

from xmcpipe.metrics.truth import Bools, Int64s, Ints

SCOPES = ("all", "tested", "trained")
NAMES = ("macro_P", "macro_R", "macro_F1", "micro_P", "micro_R", "micro_F1", "coverage")


class LabelCounts:
    """For each label how often it is predicted and right among the first k ranks, and true at all.

    Memory: 8 bytes a label for each k and 4 for the support.
    """

    def __init__(self, num_labels: int, ks: Sequence[int]) -> None:
        self._ks = tuple(ks)
        # row i holds the ranks after ks[i - 1] up to ks[i]; `at` adds them up
        self._predicted = np.zeros((len(ks), num_labels), np.int32)
        self._right = np.zeros((len(ks), num_labels), np.int32)
        self.support = np.zeros(num_labels, np.int32)

    def add(self, top_BK: Int64s, hits_BK: Bools, true_labels: Int64s) -> None:
        """Add B documents: predictions (-1 for none), hits, and the labels of all their true pairs.

        A prediction of a label from L on belongs to no label that is counted here.
        """
        one = np.int32(1)  # of the counts' own type: numpy is 16 times slower where it has to convert
        known_BK = (top_BK >= 0) & (top_BK < len(self.support))
        first = 0
        for row, k in enumerate(self._ks):
            top, hits, known = top_BK[:, first:k], hits_BK[:, first:k], known_BK[:, first:k]
            np.add.at(self._predicted[row], top[known], one)
            np.add.at(self._right[row], top[hits], one)
            first = k
        np.add.at(self.support, true_labels, one)

    def at(self, k: int) -> tuple[Ints, Ints]:
        """How often each label is predicted, and right, among the first k ranks: int64 [L] each."""
        rows = self._ks.index(k) + 1
        return self._predicted[:rows].sum(axis=0), self._right[:rows].sum(axis=0)

    def figures(self, k: int, scopes: dict[str, Bools | None]) -> dict[str, float]:
        """name_scope@k -> value; `scopes` maps a name to a mask over labels, or None for all of them."""
        predicted, right = self.at(k)
        figures: dict[str, float] = {}
        for scope, mask in scopes.items():
            values = scoped_figures(predicted, right, self.support, mask)
            figures |= {f"{name}_{scope}@{k}": value for name, value in values.items()}
        return figures


def scoped_figures(predicted: Ints, right: Ints, support: Ints, mask: Bools | None) -> dict[str, float]:
    """Macro and micro P, R, F1 and coverage over the labels of `mask`, of any (None for all); 0 over none."""
    if mask is not None:
        predicted, right, support = predicted[mask], right[mask], support[mask]
    hit = np.flatnonzero(right)  # P, R and F1 of every other label are 0
    hits, given, true = right[hit], predicted[hit], support[hit]
    labels = max(len(right), 1)
    found, all_given, all_true = int(hits.sum()), int(predicted.sum()), int(support.sum())
    return {
        "macro_P": float((hits / given).sum()) / labels,
        "macro_R": float((hits / true).sum()) / labels,
        "macro_F1": float((2 * hits / (given + true)).sum()) / labels,
        "micro_P": found / max(all_given, 1),
        "micro_R": found / max(all_true, 1),
        "micro_F1": 2 * found / max(all_given + all_true, 1),
        "coverage": len(hit) / labels,
    }


def scopes_of(support: Ints, trained: Int64s | None) -> dict[str, Bools | None]:
    """The masks of the three scopes; without training labels there is no `trained`."""
    scopes: dict[str, Bools | None] = {"all": None, "tested": support > 0}
    return scopes if trained is None else {**scopes, "trained": trained > 0}
