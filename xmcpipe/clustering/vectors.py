"""Label vectors: the mean of a label's training documents, or the vector of its own text.

Legend: L labels · D features · R documents of a batch.
"""

from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_matrix

from xmcpipe.clustering.partition import Float32s, Int32s, Int64s
from xmcpipe.data.shards.files import Shards
from xmcpipe.progress import progress

Vectorise = Callable[[Int32s, Int32s], Float32s]
"""Maps documents, as concatenated token ids and the number of tokens of each, to vectors, float32 [R, D]."""

ROWS = 8192  # rows that are processed at a time, which bounds the temporary memory


def document_means(train: Shards, vectorise: Vectorise, dim: int, num_labels: int) -> Float32s:
    """The unit mean of each label's documents, float32 [L, D]; zeros for a label without any."""
    sums_LD = np.zeros((num_labels, dim), np.float32)
    with progress("label vectors", len(train), "documents", scale=True) as bar:
        for (tokens, lengths), (labels, counts) in zip(train.tokens.flat(), train.labels.flat(), strict=True):
            present, place = np.unique(labels, return_inverse=True)
            rows = np.repeat(np.arange(len(counts)), counts)
            ones = np.ones(len(labels), np.float32)
            member = csr_matrix((ones, (place, rows)), (len(present), len(counts)))
            sums_LD[present] += member @ vectorise(tokens, lengths)
            bar.update(len(counts))
    return normalise(sums_LD)


def add_texts(vectors_LD: Float32s, texts: Shards, vectorise: Vectorise) -> int:
    """Set zero vectors to the unit vectors of the label texts, in place; returns how many were set.

    `texts` is the split `label`: each of its documents is a label text, labelled with that label.
    """
    labels, added = texts.label_csr()[1], 0
    known_L = np.asarray(vectors_LD.any(1))  # not vectors_LD[labels].any(1), which copies all vectors
    unknown = np.flatnonzero(~known_L[labels])
    for first in range(0, len(unknown), ROWS):
        rows = unknown[first : first + ROWS]
        vectors_RD = normalise(vectorise(*texts.tokens.gather(rows)))
        vectors_LD[labels[rows]] = vectors_RD
        added += int(vectors_RD.any(1).sum())
    return added


def keep_rows(vectors: Float32s, rows: Int64s) -> Float32s:
    """Compute `vectors[rows]` in place: the result is a view of `vectors`, whose other rows are lost.

    `rows` must ascend. With two million labels, a copy would take gigabytes.
    """
    for first in range(0, len(rows), ROWS):
        # Since `rows` ascends, no row moves to a higher position: none is overwritten before it is read.
        part = rows[first : first + ROWS]
        vectors[first : first + len(part)] = vectors[part]
    return vectors[: len(rows)]


def normalise(vectors: Float32s) -> Float32s:
    """Scale the rows to unit length, in place; a row of zeros stays as it is."""
    for first in range(0, len(vectors), ROWS):
        part = vectors[first : first + ROWS]
        part /= np.maximum(np.linalg.norm(part, axis=1, keepdims=True), np.float32(1e-12))
    return vectors
