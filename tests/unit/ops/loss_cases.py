"""A loss that is not in the package, in the table for the time of a test."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch
from torch import Tensor

from xmcpipe.ops.losses.loss import Loss, mean_over_scores
from xmcpipe.ops.losses.loss_table import LOSSES

NAME = "squared_error"


def squared_error_(scores_BC: Tensor, rows_P: Tensor, columns_P: Tensor) -> Tensor:
    """Sum of (s - t)^2 with t = 1 at the positives and 0 elsewhere; see `Loss.in_place`."""
    scores_BC[rows_P, columns_P] -= 1.0
    total = scores_BC.square().sum()
    scores_BC.mul_(2.0)
    return total


def share_itself(share: Tensor) -> Tensor:
    """The prior of the bias: the fraction p of positives minimises p * (s - 1)^2 + (1 - p) * s^2."""
    return torch.clone(share)


SQUARED_ERROR = Loss(squared_error_, mean_over_scores, share_itself)
WITH_A_KERNEL_CODE = Loss(squared_error_, mean_over_scores, share_itself, kernel_code=3)


@contextmanager
def added_loss(entry: str = "SQUARED_ERROR") -> Iterator[str]:
    """The loss's name. This file has its `Loss`, and its line in the table is all that is added."""
    with mock.patch.dict(LOSSES, {NAME: f"{sys.modules[__name__].__name__}:{entry}"}):
        yield NAME
