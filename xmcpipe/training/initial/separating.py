"""First weights that separate means: a label begins with what tells its documents from all others.

Of one label's features x, with the same variance v around two means, the best linear score is that along
(mean of the label's documents - mean of all) / v (linear discriminant analysis, with a diagonal covariance).
So the weights begin there, instead of at random numbers (Schultheis & Babbar, "Speeding-up one-versus-all
training for extreme classification via mean-separating initialization", 2022). Their scale: the mean of the
label's documents scores MARGIN above the mean of all, which scores the label's first bias. Of n documents
n / (n + 1) of this, since the mean of few documents says little.

A larger margin is learned wrong: the features are not independent, and few documents agree by chance.

N training documents, P pairs, C labels of a chunk, E width of the embedding, K fan-in.
"""

import numpy as np
import numpy.typing as npt
import torch

from xmcpipe.data.embeddings import EmbeddingTable
from xmcpipe.data.shards.files import Int64s, Shards
from xmcpipe.modeling.heads import Head
from xmcpipe.modeling.heads.base import all_chunks
from xmcpipe.modeling.model import Model
from xmcpipe.ops.layer import whole_groups
from xmcpipe.ops.rounding import encoded
from xmcpipe.ops.topology import chunk_rows
from xmcpipe.training.initial.informed import Floats, means, moments, pairs_by_label

MARGIN = 1.0


def separate_means(model: Model, embeddings: EmbeddingTable, shards: Shards, rows_N: Int64s) -> int:
    """Set weights and biases of the labels that have documents, in place; returns how many these are.

    `embeddings` and `shards` have the same rows, of which `rows_N` are trained on. The features of the heads
    are those of the embedding (D is E). A label without documents keeps its weights. Where there are no
    biases, the mean of all documents does not score 0, but the difference is the same.
    """
    labels_P, documents_P = pairs_by_label(shards, rows_N)
    of_all = moments(embeddings, rows_N)
    labels_P = labels_P.astype(np.int64)
    mine_P, separated = np.ones(len(labels_P), bool), 0
    if model.frequent is not None:
        labels_H = model.frequent.labels.cpu().numpy()
        mine_P = ~np.isin(labels_P, labels_H)
        places_P = np.searchsorted(labels_H, labels_P[~mine_P])
        separated = _separate(model.frequent.head, embeddings, of_all, places_P, documents_P[~mine_P])
    device = model.head.weight.device
    places_P = model.head.places_of(torch.from_numpy(labels_P[mine_P]).to(device)).cpu().numpy()
    order = np.argsort(places_P, kind="stable")
    return separated + _separate(model.head, embeddings, of_all, places_P[order], documents_P[mine_P][order])


@torch.no_grad()
def _separate(
    head: Head,
    embeddings: EmbeddingTable,
    of_all: tuple[Floats, Floats],
    places_P: Int64s,
    documents_P: npt.NDArray[np.int32],
) -> int:
    """Set the rows of `head` at the places that have pairs; `places_P` ascend. Returns how many these are."""
    (mean_E, deviation_E), group, separated = of_all, head.shape.group, 0
    for begin, end in all_chunks(head.num_labels, whole_groups(chunk_rows(embeddings.width), group)):
        low, high = np.searchsorted(places_P, [begin, end])
        mean_CE, count_C = means(embeddings, places_P[low:high] - begin, documents_P[low:high], end - begin)
        index_CK = head.index[begin // group : -(-end // group)].cpu().numpy().astype(np.int64)
        index_CK = index_CK.repeat(group, 0)[: end - begin]
        delta_CK = np.take_along_axis(mean_CE - mean_E, index_CK, 1)
        weight_CK = delta_CK / np.square(deviation_E)[index_CK]
        distance_C = (weight_CK * delta_CK).sum(1)
        known = np.flatnonzero((count_C > 0) & (distance_C > 0.0))
        share_C = MARGIN * count_C / (count_C + 1.0)
        weight_CK = weight_CK[known] * (share_C[known] / distance_C[known])[:, None]
        place = torch.from_numpy(begin + known).to(head.weight.device)
        head.weight[place] = encoded(torch.from_numpy(weight_CK), head.weight.dtype).to(head.weight.device)
        if head.bias is not None:
            shift_C = (weight_CK * mean_E[index_CK[known]]).sum(1)
            head.bias[place] -= torch.from_numpy(shift_C).to(head.bias)
        separated += len(known)
    return separated
