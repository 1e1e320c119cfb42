"""Macro metrics: each label counts the same, however many documents it has.

A label's precision, recall and F1 come from its counts in the top k of all documents,

    P_l = hits_l / predicted_l,   R_l = hits_l / support_l,   F1_l = 2 hits_l / (predicted_l + support_l),
    0/0 = 0,

and the macro figure is their mean over labels. Over which labels is a choice that changes the figure several
times over, so both are given, under names that differ: `_all` is over all L labels, `_tested` over those with
at least one document in the test. Coverage is the share of labels (of either sort) that are hit at least
once.
"""

from collections.abc import Sequence

import numpy as np

from xmcpipe.metrics.truth import Bools, Floats, Int64s


class LabelCounts:
    """For each label how often it is predicted and right among the first k ranks, and true at all.

    Memory: 8 bytes a label for each k and 4 for the support.
    """

    def __init__(self, num_labels: int, ks: Sequence[int]) -> None:
        self._ks = ks
        # row i holds the ranks after ks[i - 1] up to ks[i]; `figures` adds them up
        self._predicted = np.zeros((len(ks), num_labels), np.int32)
        self._right = np.zeros((len(ks), num_labels), np.int32)
        self._support = np.zeros(num_labels, np.int32)

    def add(self, top_BK: Int64s, hits_BK: Bools, true_labels: Int64s) -> None:
        """Add B documents: predictions (-1 for none), hits, and the labels of all their true pairs."""
        one = np.int32(1)  # of the counts' own type: numpy is 16 times slower where it has to convert
        first = 0
        for row, k in enumerate(self._ks):
            top, hits = top_BK[:, first:k], hits_BK[:, first:k]
            np.add.at(self._predicted[row], top[top >= 0], one)
            np.add.at(self._right[row], top[hits], one)
            first = k
        np.add.at(self._support, true_labels, one)

    @property
    def tested(self) -> int:
        """Labels with at least one document in the test."""
        return int(np.count_nonzero(self._support))

    def figures(self, k: int) -> dict[str, float]:
        """macro_{P,R,F1}_{all,tested}@k and coverage_{all,tested}@k."""
        rows = self._ks.index(k) + 1
        predicted, right = self._predicted[:rows].sum(axis=0), self._right[:rows].sum(axis=0)
        per_label: dict[str, Floats] = {
            "macro_P": right / np.maximum(predicted, 1),
            "macro_R": right / np.maximum(self._support, 1),
            "macro_F1": 2 * right / np.maximum(predicted + self._support, 1),
            "coverage": (right > 0).astype(np.float64),
        }
        tested = self._support > 0
        figures: dict[str, float] = {}
        for name, values in per_label.items():
            figures[f"{name}_all@{k}"] = float(values.mean())
            figures[f"{name}_tested@{k}"] = float(values[tested].mean())
        return figures
