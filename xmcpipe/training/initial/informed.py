"""The first connections of a sparse head, chosen from the documents of each label instead of at random.

A label reads the K features in which the mean embedding of its documents is farthest from the mean of all
documents, in standard deviations of the feature. (The z score of that mean is this distance times the root of
the label's number of documents, which is the same for all features of a label.) A label without documents
keeps its random features. Labels of a group read the same features: they count as one label, which has the
documents of all, each as often as it has labels of the group.

One pass over the (document, label) pairs, sorted by label; never a tensor [L, E]. The sums are exact, so the
choice doesn't depend on the order, the chunks or the processes: float16 values are multiples of 2^-24, and
float64 holds such sums exactly below 2^29.

N training documents, P pairs, C labels of a chunk, E width of the embedding, K fan-in.
"""

import numpy as np
import numpy.typing as npt
import torch

from xmcpipe.data.embeddings import EmbeddingTable
from xmcpipe.data.shards.files import Int64s, Shards
from xmcpipe.modeling.heads import Head
from xmcpipe.modeling.heads.base import all_chunks
from xmcpipe.ops.topology import chunk_rows, to_index

BLOCK_ROWS = 1 << 14  # embeddings in memory at a time
Floats = npt.NDArray[np.float64]


@torch.no_grad()
def choose_connections(head: Head, embeddings: EmbeddingTable, shards: Shards, rows_N: Int64s) -> int:
    """Set the index of the labels (or groups) of `head` that have documents; returns how many these are.

    `embeddings` and `shards` have the same rows, of which `rows_N` are trained on. The head reads the first D
    of E features.
    """
    mean_E, deviation_E = moments(embeddings, rows_N)
    labels_P, documents_P = _pairs_by_row(head, shards, rows_N)
    informed, num_rows = 0, len(head.index)
    for begin, end in all_chunks(num_rows, chunk_rows(embeddings.width)):
        low, high = np.searchsorted(labels_P, [begin, end])
        labels = labels_P[low:high] - begin
        mean_CE, count_C = means(embeddings, labels, documents_P[low:high], end - begin)
        distance_CE = np.abs(mean_CE - mean_E) / deviation_E
        distance_CE = distance_CE[:, : head.shape.in_features]  # frequent labels may have the rest
        # Of equal distances the first; in ascending order, as a random choice is stored.
        best_CK = np.sort(np.argsort(-distance_CE, axis=1, kind="stable")[:, : head.shape.fan_in], axis=1)
        known = np.flatnonzero(count_C)
        chosen = to_index(torch.from_numpy(best_CK[known])).to(head.index.device)
        # The same bits as int16: torch can't index uint16 on CUDA.
        place = torch.from_numpy(begin + known).to(head.index.device)
        head.index.view(torch.int16)[place] = chosen.view(torch.int16)
        informed += len(known)
    return informed


def moments(embeddings: EmbeddingTable, rows_N: Int64s) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each feature, float64 [E]; a constant feature has deviation infinity."""
    total_E, squares_E = np.zeros(embeddings.width), np.zeros(embeddings.width)
    for begin in range(0, len(rows_N), BLOCK_ROWS):
        block = embeddings.gather(rows_N[begin : begin + BLOCK_ROWS]).astype(np.float64)
        total_E += block.sum(0)
        squares_E += np.square(block).sum(0)
    mean_E = total_E / len(rows_N)
    variance_E = squares_E / len(rows_N) - np.square(mean_E)
    constant_E = variance_E <= 1e-12 * np.square(mean_E)
    return mean_E, np.sqrt(np.where(constant_E, np.inf, variance_E))


def pairs_by_label(shards: Shards, rows_N: Int64s) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Labels and documents (rows) of all pairs, int32 [P] each, in the order of the labels."""
    labels_P, counts_N = shards.labels.gather(rows_N)
    order = np.argsort(labels_P, kind="stable")
    return labels_P[order], np.repeat(rows_N.astype(np.int32), counts_N)[order]


def _pairs_by_row(
    head: Head, shards: Shards, rows_N: Int64s
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Rows of the head's index (labels or groups) and documents of its pairs, in the order of the rows."""
    labels_P, documents_P = pairs_by_label(shards, rows_N)
    shape = head.shape
    if head.order is None:
        low, high = np.searchsorted(labels_P, [shape.first_label, shape.first_label + shape.num_labels])
        return labels_P[low:high] - np.int32(shape.first_label), documents_P[low:high]
    places_P = head.places_of(torch.from_numpy(labels_P.astype(np.int64)).to(head.weight.device))
    row_P = (places_P // shape.group).cpu().numpy().astype(np.int32)
    order = np.argsort(row_P, kind="stable")
    return row_P[order], documents_P[order]


def means(
    embeddings: EmbeddingTable,
    labels_P: npt.NDArray[np.integer],
    documents_P: npt.NDArray[np.int32],
    num_labels: int,
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Mean embedding of the documents of each label, float64 [C, E], and their number, int64 [C].

    `labels_P` ascend in [0, C). The mean of a label without documents is 0.
    """
    sum_CE = np.zeros((num_labels, embeddings.width))
    for begin in range(0, len(labels_P), BLOCK_ROWS):
        labels = labels_P[begin : begin + BLOCK_ROWS]
        values = embeddings.gather(documents_P[begin : begin + BLOCK_ROWS].astype(np.int64))
        starts = np.flatnonzero(np.diff(labels, prepend=-1))  # where the next label begins
        sum_CE[labels[starts]] += np.add.reduceat(values.astype(np.float64), starts, axis=0)
    count_C = np.bincount(labels_P, minlength=num_labels)
    return sum_CE / np.maximum(count_C, 1)[:, None], count_C
