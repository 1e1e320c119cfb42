"""Binary cross entropy of the logistic function of the scores."""

import torch
import torch.nn.functional as F
from torch import Tensor

from xmcpipe.ops.losses.loss import Loss, sum_over_labels


def bce_(scores_BC: Tensor, rows_P: Tensor, columns_P: Tensor) -> Tensor:
    """Sum of the binary cross entropy with logits; see `Loss.in_place`."""
    positive_P = scores_BC[rows_P, columns_P]
    # softplus(s) is the loss of a negative; that of a positive is softplus(-s) = softplus(s) - s.
    total = F.softplus(scores_BC).sum() - positive_P.sum()
    scores_BC.sigmoid_()
    scores_BC[rows_P, columns_P] = torch.sigmoid(positive_P) - 1.0
    return total


BCE = Loss(bce_, sum_over_labels, torch.logit, kernel_code=2)
