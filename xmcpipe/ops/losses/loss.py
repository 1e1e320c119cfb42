"""What a loss is made of, and the loss of a name."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from torch import Tensor

from xmcpipe.errors import XmcpipeError
from xmcpipe.ops.losses.loss_table import LOSSES, require_loss

Reduction = Literal["mean", "sum"]
LossInPlace = Callable[[Tensor, Tensor, Tensor], Tensor]
Scale = Callable[[Reduction, int, int], float]


@dataclass(frozen=True)
class Loss:
    """One loss over all scores of a batch [B, L]."""

    in_place: LossInPlace
    """(scores_BC float32, rows_P, columns_P) -> the sum of the losses, []; scores become their gradient.

    `rows_P` and `columns_P`, int64, are the distinct positions of the positives."""
    scale: Scale
    """(reduction, B, L) -> the factor that turns the sum over all scores into the loss."""
    prior: Callable[[Tensor], Tensor]
    """Shares of positives in (0, 1) -> the constant scores that minimise the loss, the first bias."""
    kernel_code: int | None = None
    """Value of the macro LOSS in kernels/; None if no CUDA kernel computes the loss."""


def loss_named(name: str) -> Loss:
    """The loss called `name` in the table. Raises ValueError for an unknown name."""
    require_loss(name)
    module, _, entry = LOSSES[name].partition(":")
    loss: Loss = getattr(import_module(module), entry)
    return loss


def mean_over_scores(reduction: Reduction, num_rows: int, num_labels: int) -> float:
    """1 / (B x L), whatever the reduction over rows."""
    return 1.0 / (num_rows * num_labels)


def sum_over_labels(reduction: Reduction, num_rows: int, num_labels: int) -> float:
    """A sum over labels, and over rows the mean (1 / B) or the sum (1)."""
    return 1.0 / num_rows if reduction == "mean" else 1.0


def unsupported(loss: str, backend: str, supported: Iterable[str]) -> XmcpipeError:
    """The error of a fused backend that has no code for the loss."""
    return XmcpipeError(
        f"expected one of the losses that {backend} computes, {', '.join(supported)}, got {loss!r}",
        'set train.loss to one of them, or train.memory = "paper"',
    )
