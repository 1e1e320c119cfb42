"""The squared hinge: a margin of 1 on either side of 0, in squares."""

import torch
from torch import Tensor

from xmcpipe.ops.losses.loss import Loss, mean_over_scores


def squared_hinge_(scores_BC: Tensor, rows_P: Tensor, columns_P: Tensor) -> Tensor:
    """Sum of max(0, 1 - t * s)^2 with t = +1 at the positives and -1 elsewhere; see `Loss.in_place`."""
    positive_P = scores_BC[rows_P, columns_P]
    # All scores as negatives, whose slack is max(0, 1 + s).
    slack_BC = scores_BC.add_(1.0).clamp_(min=0.0)
    # Row by row: on a CPU torch adds the squares of one norm in a few float32, which drops the last of many.
    total: Tensor = torch.linalg.vector_norm(slack_BC, dim=1).square().sum()
    positive_slack = (1.0 - positive_P).clamp_(min=0.0)
    # The positives counted as negatives above: subtract that, add their own loss.
    total = total - (1.0 + positive_P).clamp(min=0.0).square().sum() + positive_slack.square().sum()
    scores_BC.mul_(2.0)
    scores_BC[rows_P, columns_P] = -2.0 * positive_slack
    return total


def squared_hinge_prior(share: Tensor) -> Tensor:
    """The minimum of p * (1 - s)^2 + (1 - p) * (1 + s)^2."""
    return 2.0 * share - 1.0


SQUARED_HINGE = Loss(squared_hinge_, mean_over_scores, squared_hinge_prior, kernel_code=1)
