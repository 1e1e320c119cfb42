"""The interface of a `memory` mode: how a step changes the parameters, and the state that this requires.

The trainer's loop is the same for all modes: the loss of a batch, backward, step. In addition, an
implementation sets the learning rates, drops the auxiliary branch, returns the tensors that a rewiring edits,
and the state that a checkpoint saves.

B rows, D features that the head reads.
"""

from typing import Any, Protocol

import torch
from torch import Tensor

from xmcpipe.modeling.tensors import TensorFile
from xmcpipe.training.feed import Batch


class State(Protocol):
    """The state that a checkpoint saves in addition to the model's tensors."""

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name, not copies."""
        ...

    def facts(self) -> dict[str, Any]:
        """Everything else, in JSON types."""
        ...

    def restore(self, file: TensorFile, prefix: str, facts: dict[str, Any]) -> None:
        """Read both back; a tensor is called `prefix` + name in `file`."""
        ...


class Updates(State, Protocol):
    """How the parameters of a model are updated.

    `autocast` is the dtype of autocast in the encoder, None for no autocast.
    """

    autocast: torch.dtype | None

    @property
    def loss_scale(self) -> float:
        """The factor by which `backward` multiplies a loss, 1.0 without a loss scaler."""
        ...

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """All torch optimizers in use; "light" updates the head without one."""
        ...

    def begin(self, step: int, rate_factor: float) -> None:
        """Begin step number `step`, from 0: all rates are `rate_factor` times the configured ones."""
        ...

    def main_loss(self, features_BD: Tensor, batch: Batch, factor: float, weight: float) -> Tensor:
        """`factor` times the loss over all rows and labels: a float32 scalar with autograd.

        `weight` is the factor of this loss in the total loss. The weights of words, if the head reads words,
        are updated here in both modes.
        """
        ...

    def backward(self, total: Tensor) -> None:
        """Compute the gradients of a batch's total loss, added to those of the step's other batches."""
        ...

    def step(self) -> bool:
        """Update all parameters that are not updated yet, and free the gradients.

        Returns False, and updates none, if a gradient isn't finite. With a loss scaler, or without stored
        gradients, this is always True.
        """
        ...

    def moments(self) -> list[Tensor]:
        """The optimizer tensors that have the shape of the head's weight: a rewiring resets their entries."""
        ...

    def drop_auxiliary(self) -> None:
        """Free the state of the auxiliary branch."""
        ...
