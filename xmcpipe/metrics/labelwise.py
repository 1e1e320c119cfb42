"""Metrics over labels: the class of such a metric, and the counts per label from which all are computed.

A macro figure is a mean over labels. Which labels are included can change it several times over, so three
variants are reported, under different names:

    _all      all L labels, those of the training set and the test set together
    _tested   labels with at least one document in the test set
    _trained  labels with at least one document in the training set

Libraries differ here without documenting it: some average over all L, some over the labels in the test set,
and some over the ids up to the largest one that occurs, which is none of these three. The metrics themselves
are in `definitions/labels.py`, and `catalog.py` lists them.

Legend: B documents of a batch · K ranks · L labels · H labels of a scope with at least one hit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xmcpipe.metrics.truth import Bools, Floats, Int64s, Ints

SCOPES = {"all": "all labels", "tested": "labels in test", "trained": "labels in training"}
"""The scopes of figures over labels, with their titles in printed tables."""


@dataclass(frozen=True)
class ScopeCounts:
    """The counts at one k over the labels of one scope.

    For the labels with at least one hit, int64 [H] each: `right` counts the hits, `predicted` the
    predictions, and `support` the true documents. The other labels have precision, recall and F1 0, so they
    need no entry. The totals are over all labels of the scope. `num_labels` is their number, and 1 for an
    empty scope, whose figures are then 0.
    """

    right: Ints
    predicted: Ints
    support: Ints
    num_labels: int
    total_right: int
    total_predicted: int
    total_support: int

    @staticmethod
    def of(predicted: Ints, right: Ints, support: Ints, mask: Bools | None) -> "ScopeCounts":
        """From the counts of all labels, [L] each; `mask` selects those of the scope, None selects all."""
        if mask is not None:
            predicted, right, support = predicted[mask], right[mask], support[mask]
        hit = np.flatnonzero(right)
        return ScopeCounts(
            right=right[hit],
            predicted=predicted[hit],
            support=support[hit],
            num_labels=max(len(right), 1),
            total_right=int(right.sum()),
            total_predicted=int(predicted.sum()),
            total_support=int(support.sum()),
        )


@dataclass(frozen=True)
class LabelMetric:
    """A metric over the labels of a scope.

    `name` and a scope make its key ("macro_F1" and "tested": macro_F1_tested@1), `title` its row in printed
    tables. `figure` computes it from counts. Its figures for `summary_scopes` are printed by default, among
    the rows of its `group` (see `catalog.GROUPS`).
    """

    name: str
    title: str
    figure: Callable[[ScopeCounts], float]
    group: str
    summary_scopes: tuple[str, ...] = ()


class LabelCounts:
    """For each label: its predictions and hits among the first k ranks, and its true documents.

    Memory: 8 bytes per label for each k, and 4 for the support.
    """

    def __init__(self, num_labels: int, ks: Sequence[int]) -> None:
        self._ks = tuple(ks)
        # Row i counts only the ranks after ks[i - 1] up to ks[i], so each prediction is counted once; `at`
        # adds up the rows.
        self._predicted = np.zeros((len(ks), num_labels), np.int32)
        self._right = np.zeros((len(ks), num_labels), np.int32)
        self.support = np.zeros(num_labels, np.int32)

    def add(self, top_BK: Int64s, hits_BK: Bools, true_labels: Int64s) -> None:
        """Add B documents: predictions (-1 for none), hits, and the labels of all their true pairs.

        Predictions of labels >= L are not counted: they belong to none of the L labels.
        """
        one = np.int32(1)  # has the dtype of the counts: numpy is 16 times slower if it has to convert
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

    def columns(self) -> dict[str, Ints | Floats]:
        """`support`, and `predicted@k`, `precision@k`, `recall@k` and `F1@k` for each k, [L] each."""
        columns: dict[str, Ints | Floats] = {"support": self.support}
        for k in self._ks:
            predicted, right = self.at(k)
            columns |= {
                f"predicted@{k}": predicted,
                f"precision@{k}": right / np.maximum(predicted, 1),
                f"recall@{k}": right / np.maximum(self.support, 1),
                f"F1@{k}": 2 * right / np.maximum(predicted + self.support, 1),
            }
        return columns

    def figures(
        self, k: int, scopes: Mapping[str, Bools | None], metrics: Sequence[LabelMetric]
    ) -> dict[str, float]:
        """name_scope@k -> value; `scopes` maps a name to a mask over labels, or None for all of them."""
        predicted, right = self.at(k)
        figures: dict[str, float] = {}
        for scope, mask in scopes.items():
            counts = ScopeCounts.of(predicted, right, self.support, mask)
            figures |= {f"{metric.name}_{scope}@{k}": metric.figure(counts) for metric in metrics}
        return figures


def scopes_of(support: Ints, trained: Int64s | None) -> dict[str, Bools | None]:
    """The masks of the three scopes; without training labels there is no scope `trained`."""
    scopes: dict[str, Bools | None] = {"all": None, "tested": support > 0}
    return scopes if trained is None else {**scopes, "trained": trained > 0}
