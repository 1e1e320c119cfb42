"""Which words a label should read: those that stand out in the documents it gets wrong.

Each (label, document) pair has a weight: 1 before the training, later what the label's score still lacks. The
weighted mean of a word's tf-idf over the documents of a label is compared with its mean m in all documents,
times the mean weight. The best words are those with the largest surplus / sqrt(m): the values of a rare word
vary about as its mean does, so this is a z score but for a factor that all words of a label share.

All of it runs on the host, in one pass over the pairs, and never makes a matrix [L, V].

V words, L labels, M places of a label that are filled.
"""

import numpy as np
from numpy.typing import NDArray

from xmcpipe.ops.label_documents import DocumentWords, LabelDocuments, LabelWords

SMOOTHING = 1e-4  # of m: without it a word in one document would beat all others


def fill_best(
    layer: LabelWords, places_LM: NDArray[np.int32], pairs: LabelDocuments, documents: DocumentWords
) -> int:
    """Fill places of each label with the best words that it doesn't read; returns how many were filled.

    `places_LM`: places of the label's row, filled from left to right as far as there are words with a
    surplus; their weights become 0. A place that isn't filled keeps its word.
    """
    import xmcpipe.ops.cpu.word_choice as kernels  # here, since numba takes a second to import

    return kernels.fill(layer, places_LM, pairs, documents, SMOOTHING)
