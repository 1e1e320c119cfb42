"""`memory = "paper"`: float32 weights, autocast, and two torch optimizers, as in the paper.

The gradient and the optimizer moments of every weight are in memory.
"""

from typing import Any

import torch
from torch import Tensor

from xmcpipe.modeling.devices import autocast_dtype
from xmcpipe.modeling.fused import chunked_loss
from xmcpipe.modeling.model import Model
from xmcpipe.modeling.tensors import TensorFile
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.feed import Batch
from xmcpipe.training.updates.finite import gradients_are_finite
from xmcpipe.training.updates.head_words import AllWords
from xmcpipe.training.updates.optimizer import (
    classifier_optimizer,
    drop_group,
    encoder_groups,
    encoder_optimizer,
    moments,
    restore_state,
    set_rate,
    state_tensors,
)


class PaperUpdates:
    """The Updates (see `protocol`) of "paper"; with float16 they use a loss scaler."""

    def __init__(
        self, config: TrainConfig, model: Model, device: torch.device, device_type: str = ""
    ) -> None:
        self.config, self.model = config, model
        self.words = AllWords(model, config.head)
        self.autocast = autocast_dtype(config.precision, device_type or device.type)
        # The names are part of the checkpoint's format.
        self.named_optimizers = {"classifier": classifier_optimizer(model, config.head, config.auxiliary)}
        if encoder_groups(model, config.encoder):  # none if the encoder is frozen
            encoder = encoder_optimizer(model, config.encoder)
            self.named_optimizers = {"encoder": encoder, **self.named_optimizers}
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "float16")

    @property
    def loss_scale(self) -> float:
        return float(self.scaler.get_scale())

    def optimizers(self) -> list[torch.optim.Optimizer]:
        return list(self.named_optimizers.values())

    def begin(self, step: int, rate_factor: float) -> None:
        for optimizer in self.optimizers():
            set_rate(optimizer, rate_factor)
        self.words.begin(step, rate_factor)

    def main_loss(self, features_BD: Tensor, batch: Batch, factor: float, weight: float) -> Tensor:
        loss, chunk = self.config.loss, self.config.label_chunk
        losses = [
            chunked_loss(head, features_BD, positives, loss, factor, chunk, words)
            for head, positives, words in self.words.of_step(batch, weight)
        ]
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    def backward(self, total: Tensor) -> None:
        torch.autograd.backward(self.scaler.scale(total))

    def step(self) -> bool:
        # A loss scaler does the same by itself, and lowers its scale.
        if not self.scaler.is_enabled() and not gradients_are_finite(self.optimizers()):
            for optimizer in self.optimizers():
                optimizer.zero_grad(set_to_none=True)
            return False
        # Clipping needs the gradients themselves, so their loss scale is removed first.
        if self.config.encoder.max_grad_norm and "encoder" in self.named_optimizers:
            self.scaler.unscale_(self.named_optimizers["encoder"])
            torch.nn.utils.clip_grad_norm_(self.model.encoder.parameters(), self.config.encoder.max_grad_norm)
        for optimizer in self.optimizers():
            self.scaler.step(optimizer)
            optimizer.zero_grad(set_to_none=True)
        self.scaler.update()
        return True

    def moments(self) -> list[Tensor]:
        return moments(self.named_optimizers["classifier"], self.model.head.weight)

    def drop_auxiliary(self) -> None:
        drop_group(self.named_optimizers["classifier"], "auxiliary")

    def tensors(self) -> dict[str, Tensor]:
        return {
            f"{name}.{key}": tensor
            for name, optimizer in self.named_optimizers.items()
            for key, tensor in state_tensors(optimizer).items()
        }

    def facts(self) -> dict[str, Any]:
        return {"scaler": self.scaler.state_dict()}

    def restore(self, file: TensorFile, prefix: str, facts: dict[str, Any]) -> None:
        for name, optimizer in self.named_optimizers.items():
            restore_state(optimizer, file, f"{prefix}{name}.")
        self.scaler.load_state_dict(facts["scaler"])
