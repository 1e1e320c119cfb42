"""Bundles what operators on single labels read, in host memory: documents, words, and which label has which.

N documents, T (document, word) pairs, V words, L labels, P (label, document) pairs, K features and K' words
that a label reads.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class DocumentWords(NamedTuple):
    """The words of N documents over a vocabulary.

    Those of document n are at [begins[n], begins[n + 1]): `begins` int64 [N + 1], `words` uint16 or int32
    [T], `values` float32 [T], tf-idf. `mean` float64 [V]: the mean value of each word.
    """

    begins: NDArray[np.int64]
    words: NDArray[np.uint16] | NDArray[np.int32]
    values: NDArray[np.float32]
    mean: NDArray[np.float64]


class LabelDocuments(NamedTuple):
    """The documents of L labels: those of label l are at [begins[l], begins[l + 1]).

    `begins` int64 [L + 1], `documents` int64 [P], `weights` float64 [P].
    """

    begins: NDArray[np.int64]
    documents: NDArray[np.int64]
    weights: NDArray[np.float64]

    @staticmethod
    def of(
        labels_P: NDArray[np.integer], documents_P: NDArray[np.integer], num_labels: int
    ) -> "LabelDocuments":
        """Pairs sorted by label, each with weight 1."""
        begins = np.searchsorted(labels_P, np.arange(num_labels + 1)).astype(np.int64)
        return LabelDocuments(begins, documents_P.astype(np.int64), np.ones(len(documents_P)))

    def of_labels(self, labels_H: NDArray[np.int64]) -> "LabelDocuments":
        """The documents of some labels, numbered from 0 in this order."""
        counts_H = np.diff(self.begins)[labels_H]
        begins = np.concatenate([[0], np.cumsum(counts_H)])
        place_P = np.arange(begins[-1]) + np.repeat(self.begins[labels_H] - begins[:-1], counts_H)
        return LabelDocuments(begins, self.documents[place_P], self.weights[place_P])


class LabelWords(NamedTuple):
    """The words that L labels read, in host memory.

    `index` uint16 or int32 [L, K'], distinct in a row but for `none`, which stands for no word; `weight`
    float32 [L, K'].
    """

    index: NDArray[np.uint16] | NDArray[np.int32]  # type: ignore[assignment]  # hides tuple.index on purpose
    weight: NDArray[np.float32]
    none: int


class LabelFeatures(NamedTuple):
    """The features that L labels read, in host memory: `index` uint16 [L, K] and `weight` float32 [L, K]."""

    index: NDArray[np.uint16]  # type: ignore[assignment]
    weight: NDArray[np.float32]
