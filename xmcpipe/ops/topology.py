"""Which K of the D features each label reads: the first choice, and the regrowth after pruning (SET).

Every choice is a function of (seed, stream, label number): each feature of the row gets a random key, and the
features that the row does not read yet are chosen in the order of their keys. The choice is uniform, without
repeats, and the same on any device, in any chunks, on any number of processes. Indices are stored in 16 bits,
so D <= 65,536.

Source of SET: Mocanu et al., "Scalable training of artificial neural networks with adaptive sparse
connectivity", 2018.

R labels of a piece, D features, K fan-in.
"""

import torch
from torch import Tensor

from xmcpipe.ops.philox import random_words

INDEX_DTYPE = torch.uint16
MAX_FEATURES = 65_536
STREAM_TOPOLOGY = 0  # of the first choice; rewiring r, from 1, uses stream r


def chunk_rows(num_features: int) -> int:
    """Number of rows to choose for at a time: a random key for each of their features takes 16 MiB."""
    return max(1, (1 << 21) // num_features)


def to_index(index: Tensor) -> Tensor:
    """Convert integer indices to uint16."""
    return index.to(torch.int32).to(INDEX_DTYPE)


def initial_index(seed: int, labels_R: Tensor, num_features: int, fan_in: int) -> Tensor:
    """The first K features of each label: uint16 [R, K], distinct in a row, in ascending order.

    `labels_R`: label ids, int64.
    """
    order_RD = _features_by_key(seed, STREAM_TOPOLOGY, labels_R, num_features, None)
    return to_index(order_RD[:, :fan_in].sort(dim=1).values)


def regrow(
    index_RK: Tensor, pruned_RK: Tensor, seed: int, rewiring: int, labels_R: Tensor, num_features: int
) -> Tensor:
    """Replace the feature of each pruned place by one that the row does not read: uint16 [R, K].

    `index_RK`: uint16, distinct in a row; `pruned_RK`: bool; `rewiring`: 1 for the first; `labels_R`: int64.
    A pruned feature may be drawn again. Places are filled from left to right in the order of the random keys.
    """
    index = index_RK.to(torch.int64)
    current_RD = torch.zeros(len(index), num_features, dtype=torch.bool, device=index.device)
    current_RD.scatter_(1, index, ~pruned_RK)
    order_RD = _features_by_key(seed, rewiring, labels_R, num_features, current_RD)
    return fill(index, pruned_RK, order_RD)


def fill(index_RK: Tensor, pruned_RK: Tensor, chosen_RC: Tensor) -> Tensor:
    """The index with the features of `chosen_RC` at the pruned places, from left to right: uint16 [R, K].

    `index_RK` and `chosen_RC`: int64; `pruned_RK`: bool, at most C of a row.
    """
    # The first pruned place of a row gets the first chosen feature, the second place the second, and so on.
    number_RK = (pruned_RK.cumsum(1) - 1).clamp_(min=0)
    return to_index(torch.where(pruned_RK, chosen_RC.gather(1, number_RK), index_RK))


def _features_by_key(
    seed: int, stream: int, labels_R: Tensor, num_features: int, current_RD: Tensor | None
) -> Tensor:
    """The features of each row in the order of their keys, int64 [R, D]; those in `current_RD` come last."""
    words = random_words(seed, stream, labels_R, num_features)
    # The feature in the low bits makes the keys distinct, so the sort need not be stable.
    keys = words * MAX_FEATURES + torch.arange(num_features, device=words.device)
    if current_RD is not None:
        # Features that the row reads already sort behind all others.
        keys.masked_fill_(current_RD, torch.iinfo(torch.int64).max)
    return keys.argsort(dim=1)
