"""Scores of chosen (label, document) pairs, on the host: of a label and the documents that have it.

Each score is a sum in float64 in one order, so it depends neither on the chunk it is in nor on the number of
threads. This takes one pass over the pairs, where scores of all labels would take L / (labels of a document)
times as long.

P (label, document) pairs, D features.
"""

import numpy as np
from numpy.typing import NDArray

from xmcpipe.ops.label_documents import DocumentWords, LabelDocuments, LabelFeatures, LabelWords

Scores = NDArray[np.float64]


def add_feature_scores(
    scores_P: Scores, labels_P: NDArray[np.int64], features_PD: NDArray[np.float32], layer: LabelFeatures
) -> None:
    """Add the features' part to the scores of the pairs, in place; pair p has the features of row p."""
    import xmcpipe.ops.cpu.pairs as kernels  # here, since numba takes a second to import

    kernels.add_feature_scores(scores_P, labels_P, features_PD, layer)


def add_word_scores(
    scores_P: Scores, pairs: LabelDocuments, documents: DocumentWords, layer: LabelWords
) -> None:
    """Add the words' part to the scores of the pairs, in place."""
    import xmcpipe.ops.cpu.pairs as kernels

    kernels.add_word_scores(scores_P, pairs, documents, layer)
