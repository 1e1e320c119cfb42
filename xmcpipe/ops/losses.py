"""The table of losses: an entry holds everything about a loss except its fused kernels.

A loss compares all scores of a chunk with sparse positives, and computes value and gradient in one pass. The
gradient overwrites the scores: first all scores count as negatives, then the few positives are corrected. No
target matrix exists. Sums are float32 and unscaled.

To add a loss, add its name to `loss_names.LossName` and an entry to `LOSSES`. It then trains wherever torch
computes the step. The fused backends look losses up by name or code and refuse what they don't have:

- numba on a CPU: `CODES` and `label_losses` in `ops/cpu/losses.py`;
- CUDA: `kernel_code` here, `loss_gradient` in kernels/include/loss.cuh, the legal values in
  `ops/nvrtc/table.py`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from xmcpipe.ops.loss_names import LOSS_NAMES

Reduction = Literal["mean", "sum"]
LossInPlace = Callable[[Tensor, Tensor, Tensor], Tensor]
Scale = Callable[[Reduction, int, int], float]


@dataclass(frozen=True)
class Loss:
    """One loss over all scores of a batch [B, L]."""

    name: str
    """The name as recipes write it."""
    in_place: LossInPlace
    """(scores_BC float32, rows_P, columns_P) -> the sum of the losses, []; scores become their gradient.

    `rows_P` and `columns_P`, int64, are the distinct positions of the positives."""
    scale: Scale
    """(reduction, B, L) -> the factor that turns the sum over all scores into the loss."""
    prior: Callable[[Tensor], Tensor]
    """Fractions of positives, in (0, 1) -> the constant scores that minimise the loss, used as first bias."""
    kernel_code: int | None = None
    """Value of the macro LOSS in kernels/; None if no CUDA kernel computes the loss."""


def squared_hinge_(scores_BC: Tensor, rows_P: Tensor, columns_P: Tensor) -> Tensor:
    """Sum of max(0, 1 - t * s)^2 with t = +1 at the positives and -1 elsewhere; see `Loss.in_place`."""
    positive_P = scores_BC[rows_P, columns_P]
    # All scores as negatives, whose slack is max(0, 1 + s).
    slack_BC = scores_BC.add_(1.0).clamp_(min=0.0)
    total: Tensor = torch.linalg.vector_norm(slack_BC).square()
    positive_slack = (1.0 - positive_P).clamp_(min=0.0)
    # The positives counted as negatives above: subtract that, add their own loss.
    total = total - (1.0 + positive_P).clamp(min=0.0).square().sum() + positive_slack.square().sum()
    scores_BC.mul_(2.0)
    scores_BC[rows_P, columns_P] = -2.0 * positive_slack
    return total


def bce_(scores_BC: Tensor, rows_P: Tensor, columns_P: Tensor) -> Tensor:
    """Sum of the binary cross entropy with logits; see `Loss.in_place`."""
    positive_P = scores_BC[rows_P, columns_P]
    # softplus(s) is the loss of a negative; that of a positive is softplus(-s) = softplus(s) - s.
    total = F.softplus(scores_BC).sum() - positive_P.sum()
    scores_BC.sigmoid_()
    scores_BC[rows_P, columns_P] = torch.sigmoid(positive_P) - 1.0
    return total


def mean_over_scores(reduction: Reduction, num_rows: int, num_labels: int) -> float:
    """1 / (B x L), for every reduction."""
    return 1.0 / (num_rows * num_labels)


def sum_over_labels(reduction: Reduction, num_rows: int, num_labels: int) -> float:
    """1 / B for the mean over rows, 1 for the sum; over labels it is always a sum."""
    return 1.0 / num_rows if reduction == "mean" else 1.0


def squared_hinge_prior(fraction: Tensor) -> Tensor:
    """The score s that minimises p * (1 - s)^2 + (1 - p) * (1 + s)^2, with p the fraction of positives."""
    return 2.0 * fraction - 1.0


_ENTRIES = (
    Loss("squared_hinge", squared_hinge_, mean_over_scores, squared_hinge_prior, kernel_code=1),
    Loss("bce", bce_, sum_over_labels, torch.logit, kernel_code=2),
)
LOSSES: dict[str, Loss] = {loss.name: loss for loss in _ENTRIES}
assert tuple(LOSSES) == LOSS_NAMES, "loss_names.LossName lists the same losses in the same order"


def loss_named(name: str) -> Loss:
    """The entry of the loss. Raises ValueError for an unknown name."""
    if name not in LOSSES:
        raise ValueError(f"expected loss {' or '.join(LOSSES)}, got {name!r}")
    return LOSSES[name]


def unsupported(loss: str, backend: str, supported: Iterable[str]) -> ValueError:
    """The error of a backend that has no implementation of the loss."""
    return ValueError(
        f"{backend} has no implementation of loss {loss!r}, only of {', '.join(supported)}: "
        "add one, or train where torch computes the step"
    )
