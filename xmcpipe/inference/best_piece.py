"""The scores of documents in pieces: for each label that of the best piece (MaxP of Dai and Callan 2019).

The mean embedding of a long document dilutes what one of its pieces says. The output layer can score each
piece by itself: it reads the embedding of a piece as that of a short document, which is one piece. The k best
labels of a document are among the k best of its pieces: in the piece where a label has its best score, at
most k - 1 others are above it.

B documents, M pieces of the longest, P pieces of all, E width, K labels of each.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Float32s = npt.NDArray[np.float32]


def distinct_pieces(embedding_BME: Tensor) -> tuple[Tensor, Tensor]:
    """The pieces [P, E], without those that repeat the first one of their document; documents int64 [P]."""
    differs_BM = (embedding_BME != embedding_BME[:, :1]).any(-1)
    differs_BM[:, 0] = True
    return embedding_BME[differs_BM], differs_BM.nonzero()[:, 0]


def best_of_pieces(
    labels_PK: Int32s, scores_PK: Float32s, documents_P: Int64s, num_documents: int
) -> tuple[Int32s, Float32s]:
    """Labels int32 [B, K] and scores float32 [B, K] of documents, ordered by (-score, label id).

    `labels_PK` are the distinct best labels of each piece; each document has a piece.
    """
    k = labels_PK.shape[1]
    documents = np.repeat(documents_P, k)
    labels, scores = labels_PK.ravel(), scores_PK.ravel()
    # The best score of each pair of a document and a label comes first.
    order = np.lexsort((-scores, labels, documents))
    documents, labels, scores = documents[order], labels[order], scores[order]
    first = np.ones(len(order), bool)
    first[1:] = (documents[1:] != documents[:-1]) | (labels[1:] != labels[:-1])
    documents, labels, scores = documents[first], labels[first], scores[first]
    order = np.lexsort((labels, -scores, documents))
    sizes = np.bincount(documents, minlength=num_documents)
    rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    kept = order[rank < k]
    return labels[kept].reshape(num_documents, k), scores[kept].reshape(num_documents, k)


def same_number_of_pieces(parts: list[Tensor]) -> list[Tensor]:
    """Batches [B, M, E] with the largest M of all: the first piece is repeated."""
    most = max(part.shape[1] for part in parts)
    return [torch.cat([part, part[:, :1].expand(-1, most - part.shape[1], -1)], dim=1) for part in parts]
