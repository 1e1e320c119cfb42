"""How the losses are averaged, and the bias that minimises them; the losses are in `ops.losses`."""

from typing import Literal

import torch
from torch import Tensor

from xmcpipe.ops.losses import IN_PLACE, Loss, LossInPlace

__all__ = ["IN_PLACE", "Loss", "LossInPlace", "prior_bias", "scale"]


def scale(loss: Loss, reduction: Literal["mean", "sum"], num_rows: int, num_labels: int) -> float:
    """What the sum over all scores is multiplied by: squared hinge is a mean over B x L; BCE a sum over L,
    and over B a mean or a sum.
    """
    if loss == "squared_hinge":
        return 1.0 / (num_rows * num_labels)
    return 1.0 / num_rows if reduction == "mean" else 1.0


def prior_bias(loss: Loss, counts_L: Tensor, num_documents: int) -> Tensor:
    """The constant score of each label that minimises the loss, float32 [L], from its number of documents.

    A label without a document is counted as a tenth of one, so that the bias is finite.
    """
    share_L = (counts_L.double().clamp(min=0.1) / max(num_documents, 1)).clamp(max=0.99)
    return (torch.logit(share_L) if loss == "bce" else 2.0 * share_L - 1.0).float()
