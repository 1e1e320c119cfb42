"""What `memory` decides: how a step changes the parameters, and what is kept to do so.

The trainer's loop is the same for each: the loss of a batch, backward, step. Beside it, an implementation
knows the rates, the branch that goes, the tensors that a rewiring has to edit, and what a checkpoint must
hold.
"""

from typing import Any, Protocol

import torch
from torch import Tensor

from xmcpipe.modeling.tensors import TensorFile
from xmcpipe.ops.layer import Positives


class State(Protocol):
    """What a checkpoint holds beside the model's own tensors."""

    def tensors(self) -> dict[str, Tensor]:
        """The tensors, by name, not copied."""
        ...

    def facts(self) -> dict[str, Any]:
        """The rest, in JSON types."""
        ...

    def restore(self, file: TensorFile, prefix: str, facts: dict[str, Any]) -> None:
        """Take back both; the tensors are called `prefix` + name in `file`."""
        ...


class Updates(State, Protocol):
    """How the parameters of a model are updated.

    `autocast`: the dtype that the encoder runs in, None for that of its weights.
    """

    autocast: torch.dtype | None

    @property
    def loss_scale(self) -> float:
        """What `backward` multiplies a loss by before all else."""
        ...

    def begin(self, step: int, rate_factor: float) -> None:
        """Before step number `step`, from 0: every rate is `rate_factor` times what is configured."""
        ...

    def main_loss(self, features_BD: Tensor, positives: Positives, factor: float, share: float) -> Tensor:
        """`factor` times the loss over all rows and labels, a float32 scalar with autograd.

        `share` is what it will be multiplied by in the total loss.
        """
        ...

    def backward(self, total: Tensor) -> None:
        """The gradients of the total loss of a batch, added to those of the step's other batches."""
        ...

    def step(self) -> None:
        """Update what is not updated yet, and forget the gradients."""
        ...

    def moments(self) -> list[Tensor]:
        """The tensors of the shape of the head's weight that belong to its connections."""
        ...

    def drop_auxiliary(self) -> None:
        """Free what is kept for the auxiliary branch."""
        ...
