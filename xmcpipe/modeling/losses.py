"""Losses over every label against sparse positives, value and gradient in one pass over a chunk of scores.

The scores of a chunk are overwritten by their gradient: all are taken as negatives first, then the few
positives are put right. No target matrix is made. Sums are float32; the scale (a mean or a sum) is the
caller's.
"""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Literal["squared_hinge", "bce"]
LossInPlace = Callable[[Tensor, Tensor, Tensor], Tensor]


def squared_hinge_(scores_BC: Tensor, rows_P: Tensor, columns_P: Tensor) -> Tensor:
    """Sum of max(0, 1 - t * s)^2, t = +1 at the positives and -1 elsewhere; `scores` become the gradient.

    `scores_BC` float32; `rows_P`, `columns_P` int64, the distinct positions of the positives.
    """
    positive_P = scores_BC[rows_P, columns_P]
    slack_BC = scores_BC.add_(1.0).clamp_(min=0.0)
    total: Tensor = torch.linalg.vector_norm(slack_BC).square()
    positive_slack = (1.0 - positive_P).clamp_(min=0.0)
    total = total - (1.0 + positive_P).clamp(min=0.0).square().sum() + positive_slack.square().sum()
    scores_BC.mul_(2.0)
    scores_BC[rows_P, columns_P] = -2.0 * positive_slack
    return total


def bce_(scores_BC: Tensor, rows_P: Tensor, columns_P: Tensor) -> Tensor:
    """Sum of the binary cross entropy with logits: a scalar; `scores` become the gradient.

    As `squared_hinge_`.
    """
    positive_P = scores_BC[rows_P, columns_P]
    total = F.softplus(scores_BC).sum() - positive_P.sum()
    scores_BC.sigmoid_()
    scores_BC[rows_P, columns_P] = torch.sigmoid(positive_P) - 1.0
    return total


IN_PLACE: dict[Loss, LossInPlace] = {"squared_hinge": squared_hinge_, "bce": bce_}


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
