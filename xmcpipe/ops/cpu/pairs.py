"""Scores of (label, document) pairs, compiled by numba; see `ops/words/pairs.py`.

P (label, document) pairs, D features.
"""

import numpy as np
from numpy.typing import NDArray

from xmcpipe.ops.cpu.simd.compiling import compiled
from xmcpipe.ops.cpu.threads import over_slices, slices
from xmcpipe.ops.label_documents import DocumentWords, LabelDocuments, LabelFeatures, LabelWords

Scores = NDArray[np.float64]


@compiled
def feature_scores_slice(
    scores: Scores,
    labels: NDArray[np.int64],
    features: NDArray[np.float32],
    layer: LabelFeatures,
    begin: int,
    end: int,
) -> None:
    """Add the features' part to the `scores` [P] of the pairs [begin, end); `features` [P, D]."""
    for pair in range(begin, end):
        label, total = labels[pair], 0.0
        for k in range(layer.index.shape[1]):
            total += np.float64(layer.weight[label, k]) * np.float64(features[pair, layer.index[label, k]])
        scores[pair] += total


@compiled
def word_scores_slice(
    scores: Scores,
    pairs: LabelDocuments,
    documents: DocumentWords,
    layer: LabelWords,
    begin: int,
    end: int,
) -> None:
    """Add the words' part to the `scores` [P] of the pairs of the labels [begin, end)."""
    by_word = np.zeros(len(documents.mean), np.float64)
    for label in range(begin, end):
        for k in range(layer.index.shape[1]):
            if layer.index[label, k] != layer.none:
                by_word[layer.index[label, k]] = layer.weight[label, k]
        for pair in range(pairs.begins[label], pairs.begins[label + 1]):
            document, total = pairs.documents[pair], 0.0
            for t in range(documents.begins[document], documents.begins[document + 1]):
                total += documents.values[t] * by_word[documents.words[t]]
            scores[pair] += total
        for k in range(layer.index.shape[1]):
            if layer.index[label, k] != layer.none:
                by_word[layer.index[label, k]] = 0.0


def add_feature_scores(
    scores_P: Scores, labels_P: NDArray[np.int64], features_PD: NDArray[np.float32], layer: LabelFeatures
) -> None:
    """See `ops.words.pairs.add_feature_scores`."""

    def run(_: int, begin: int, end: int) -> None:
        feature_scores_slice(scores_P, labels_P, features_PD, layer, begin, end)

    over_slices(run, slices(len(scores_P)))


def add_word_scores(
    scores_P: Scores, pairs: LabelDocuments, documents: DocumentWords, layer: LabelWords
) -> None:
    """See `ops.words.pairs.add_word_scores`."""

    def run(_: int, begin: int, end: int) -> None:
        word_scores_slice(scores_P, pairs, documents, layer, begin, end)

    over_slices(run, slices(len(layer.index)))
