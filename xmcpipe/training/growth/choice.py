"""The features that fill the pruned places of a row: those with the largest |gradient| it doesn't read.

T labels of a chunk, D features, K fan-in.
"""

import torch
from torch import Tensor

from xmcpipe.ops.rewire import magnitude_bits
from xmcpipe.ops.topology import MAX_FEATURES, fill


def largest_unread(gradient_TD: Tensor, index_TK: Tensor, pruned_TK: Tensor) -> Tensor:
    """The index with new features at the pruned places: uint16 [T, K].

    `gradient_TD`: float, compared as float32; `index_TK`: uint16, distinct in a row; `pruned_TK`: bool. A row
    no longer reads a pruned feature, so it may get it back. Places are filled from left to right, the largest
    gradient first, of equal ones the first feature.
    """
    places_TK = index_TK.long()
    read_TD = torch.zeros(gradient_TD.shape, dtype=torch.bool, device=gradient_TD.device)
    read_TD.scatter_(1, places_TK, ~pruned_TK)
    # The feature in the low bits makes the keys distinct: topk promises no order among equal ones.
    backwards_D = MAX_FEATURES - 1 - torch.arange(gradient_TD.shape[1], device=gradient_TD.device)
    keys_TD = (magnitude_bits(gradient_TD) << 16).add_(backwards_D).masked_fill_(read_TD, -1)
    chosen_TC = keys_TD.topk(int(pruned_TK.sum(1).amax())).indices
    return fill(places_TK, pruned_TK, chosen_TC)
