"""The most frequent labels, which read every feature and many words: a second, small head.

A label of thousands of documents is told by more evidence than K features and K' words hold. There are few
such labels, so a wide layer for them alone costs little. It is an FFI head with K = D.

The sparse head still has a row for each of these labels, so that label ids stay places in it. Such a row is
switched off: its bias is so low that loss and gradient are exactly 0, and that no ranking contains it.

D features, H frequent labels, P positive pairs.
"""

import torch
from torch import Tensor, nn

from xmcpipe.modeling.heads import Head, HeadShape, build

OFF = -1e4  # the bias of a row that is switched off: exp of it is 0 in every format


class FrequentLabels(nn.Module):
    """The `head` of the labels `labels` (int64 [H], ascending), which are set after the model is built."""

    labels: Tensor

    def __init__(self, shape: HeadShape, device: torch.device | str) -> None:
        super().__init__()
        self.head: Head = build(shape, device)
        self.register_buffer("labels", torch.zeros(shape.num_labels, dtype=torch.int64, device=device))

    @torch.no_grad()
    def take(self, labels_H: Tensor, sparse: Head) -> None:
        """Take the labels `labels_H` from the head `sparse`, with their biases."""
        assert sparse.bias is not None, "HeadTable has checked it"
        assert self.head.bias is not None, "HeadShape.bias is set"
        self.labels.copy_(labels_H)
        places_H = sparse.places_of(self.labels)
        self.head.bias.copy_(sparse.bias[places_H])
        sparse.bias[places_H] = OFF
