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
