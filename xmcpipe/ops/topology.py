"""Which K of the D features each label holds: the first choice, and the regrowth after pruning (SET).

Every choice is a function of (seed, stream, label number): a random key is given to each feature of the row,
and the features that the row does not hold are taken in the order of their keys. That is uniform, free of
repeats, and the same on any device, in any chunking, on any number of processes. Indices are stored in 16
bits, so D <= 65,536.
"""

import torch
from torch import Tensor

from xmcpipe.ops.philox import random_words

INDEX_DTYPE = torch.uint16
MAX_FEATURES = 65_536
STREAM_TOPOLOGY = 0  # stream r is the regrowth of rewiring r; 0 is the first choice


def chunk_rows(num_features: int) -> int:
    """Rows to choose for at a time: a random key a feature of each is held, 16 MiB of them."""
    return max(1, (1 << 21) // num_features)


def to_index(index: Tensor) -> Tensor:
    """The int64 indices in 16 bits."""
    return index.to(torch.int32).to(INDEX_DTYPE)


def initial_index(seed: int, labels_R: Tensor, num_features: int, fan_in: int) -> Tensor:
    """The first K features of each label: uint16 [R, K], distinct in a row, in ascending order.

    `labels_R`: the labels' own numbers, int64.
    """
    order_RD = _features_by_key(seed, STREAM_TOPOLOGY, labels_R, num_features, None)
    return to_index(order_RD[:, :fan_in].sort(dim=1).values)


def regrow(
    index_RK: Tensor, pruned_RK: Tensor, seed: int, rewiring: int, labels_R: Tensor, num_features: int
) -> Tensor:
    """The index with each pruned place given a feature that the row does not hold; kept places are unchanged.

    `index_RK`: uint16, distinct in a row; `pruned_RK`: bool; `rewiring`: 1 for the first; `labels_R`: int64.
    A pruned feature is free to be drawn again. Places are filled left to right in the order of the random
    keys.
    """
    index = index_RK.to(torch.int64)
    held_RD = torch.zeros(len(index), num_features, dtype=torch.bool, device=index.device)
    held_RD.scatter_(1, index, ~pruned_RK)
    order_RD = _features_by_key(seed, rewiring, labels_R, num_features, held_RD)
    place_RK = (pruned_RK.cumsum(1) - 1).clamp_(min=0)
    return to_index(torch.where(pruned_RK, order_RD.gather(1, place_RK), index))


def _features_by_key(
    seed: int, stream: int, labels_R: Tensor, num_features: int, held_RD: Tensor | None
) -> Tensor:
    words = random_words(seed, stream, labels_R, num_features)
    # The feature in the low bits makes keys distinct, so that the order needs no stable sort.
    keys = words * MAX_FEATURES + torch.arange(num_features, device=words.device)
    if held_RD is not None:
        keys.masked_fill_(held_RD, torch.iinfo(torch.int64).max)
    return keys.argsort(dim=1)
