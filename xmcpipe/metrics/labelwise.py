"""Metrics over labels: what one is made of, and the counts per label that all of them are computed from.

A macro figure is a mean over labels, and the choice of these labels can change it several times over. So
three choices are reported, under different names:

    _all      all L labels, those of the training set and the test set together
    _tested   labels with at least one document in the test set
    _trained  labels with at least one document in the training set

Libraries differ here without documenting it: the mean over all L, over the labels in the test set, or over
the ids up to the largest one that occurs, which is none of the three. The metrics themselves are in
`definitions/labels.py`, and `catalog.py` lists them.

Legend: B documents of a batch · K ranks · L labels · H labels of a scope with at least one hit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xmcpipe.metrics.truth import Bools, Int64s, Ints

SCOPES = {"all": "all labels", "tested": "labels in test", "trained": "labels in training"}
"""The scopes of figures over labels, with their titles in printed tables."""


@dataclass(frozen=True)
class ScopeCounts:
    """The counts at one k over the labels of one scope.

    `right`, `predicted` and `support`, int64 [H], have an entry for each label with at least one hit: its
    hits, its predictions, and the documents that have it. Every other label has precision, recall and F1 0.
    The totals are over all labels of the scope; `num_labels` counts them, and is 1 for an empty scope, where
    all is 0.
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
    tables. `figure` computes it from counts. `summary_scopes` are printed without being asked, among the rows
    of its `group` (see `catalog.GROUPS`).
    """

    name: str
    title: str
    figure: Callable[[ScopeCounts], float]
    group: str
    summary_scopes: tuple[str, ...] = ()


class LabelCounts:
    """For each label: how often it is predicted and right among the first k ranks, and how often true at all.

    Memory: 8 bytes per label for each k, and 4 for the support.
    """

    def __init__(self, num_labels: int, ks: Sequence[int]) -> None:
        self._ks = tuple(ks)
        # row i holds the ranks after ks[i - 1] up to ks[i]; `at` adds the rows up
        self._predicted = np.zeros((len(ks), num_labels), np.int32)
        self._right = np.zeros((len(ks), num_labels), np.int32)
        self.support = np.zeros(num_labels, np.int32)

    def add(self, top_BK: Int64s, hits_BK: Bools, true_labels: Int64s) -> None:
        """Add B documents: predictions (-1 for none), hits, and the labels of all their true pairs.

        A prediction of a label >= L belongs to no label that is counted here.
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
