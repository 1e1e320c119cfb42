"""`memory = "light"`: 16-bit weights, no stored gradients, and scores of one chunk of labels at a time.

The classifier is updated by SGD in the forward pass (modeling.stepped). Its bfloat16 weights are rounded
stochastically, so that small updates are right on average. The encoder and the layers next to it have
bfloat16 weights and the AdamW of torch-optimi, which does two things. It carries the rounding error of a
weight over to the next step (Kahan summation; Zamirai et al., "Revisiting bfloat16 training", 2020). It
updates each weight as soon as backward has computed its gradient, and frees the gradient then (LOMO, Lv et
al., 2023). Without that package, `kahan_adamw` does the same in more time.

At the usual learning rates of an encoder, rate times weight decay is smaller than the last place of a
bfloat16, so these weights do not decay; in float32 they would decay very little. With `precision = "float32"`
all this applies to float32 weights.
"""

import shutil
from typing import Any

import torch
from torch import Tensor

from xmcpipe.modeling.model import Model
from xmcpipe.modeling.stepped import HeadSGD, stepped_loss
from xmcpipe.modeling.tensors import TensorFile
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.feed import Batch
from xmcpipe.training.updates.head_words import AllWords
from xmcpipe.training.updates.kahan_adamw import KahanAdamW
from xmcpipe.training.updates.optimizer import (
    Group,
    branch_groups,
    drop_group,
    encoder_groups,
    rate_share,
    restore_state,
    set_rate,
    state_tensors,
    with_rates,
)

# With beta2 = 0.999 a second moment in bfloat16 would stay at its maximum: a decrease by a thousandth is
# smaller than its last place, and would be rounded away.
BETAS = {torch.bfloat16: (0.9, 0.99), torch.float32: (0.9, 0.999)}
EPS = 1e-8  # as in torch, not optimi's 1e-6: the gradient of a mean over B x L is small


class LightUpdates:
    """The Updates (see `protocol`) of "light"; the model's weights already have the dtype of `precision`."""

    autocast: torch.dtype | None = None
    loss_scale = 1.0

    def __init__(
        self, config: TrainConfig, model: Model, device: torch.device, device_type: str = ""
    ) -> None:
        assert model.head.updates_in_place, "TrainConfig has checked the head's kind"
        self.config, self.model = config, model
        # One for each head; forward updates them, so autograd must not.
        self.sgd = [
            HeadSGD.of(head.requires_grad_(False), config.head.momentum, config.head.weight_decay)
            for head in model.heads
        ]
        self.words = AllWords(model, config.head)
        groups = encoder_groups(model, config.encoder) + branch_groups(model, config.head, config.auxiliary)
        self.optimizer = _releasing_adamw(model, groups, config.encoder.lr, device)

    def optimizers(self) -> list[torch.optim.Optimizer]:
        return [] if self.optimizer is None else [self.optimizer]

    def begin(self, step: int, rate_factor: float) -> None:
        if self.optimizer is not None:
            set_rate(self.optimizer, rate_factor)
        for head, sgd in zip(self.model.heads, self.sgd, strict=True):
            sgd.rate.fill_(self.config.head.lr * rate_share(self.model, head) * rate_factor)
            sgd.step.fill_(step)
        self.words.begin(step, rate_factor)

    def main_loss(self, features_BD: Tensor, batch: Batch, factor: float, weight: float) -> Tensor:
        loss, chunk, losses = self.config.loss, self.config.label_chunk, []
        for sgd, (head, positives, words) in zip(self.sgd, self.words.of_step(batch, weight), strict=True):
            sgd.scale.fill_(weight * factor)
            losses.append(stepped_loss(head, features_BD, positives, loss, factor, sgd, chunk, words))
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    def backward(self, total: Tensor) -> None:
        if total.requires_grad:  # False if the encoder is frozen and no other layer precedes the head
            torch.autograd.backward(total)

    def step(self) -> bool:
        """Do nothing: forward and backward have updated all parameters already."""
        return True

    def moments(self) -> list[Tensor]:
        return [] if self.sgd[0].momentum is None else [self.sgd[0].momentum]

    def drop_auxiliary(self) -> None:
        if self.optimizer is not None:
            drop_group(self.optimizer, "auxiliary")

    def tensors(self) -> dict[str, Tensor]:
        state = {} if self.optimizer is None else state_tensors(self.optimizer)
        return {**{f"adamw.{key}": tensor for key, tensor in state.items()}, **self._momenta()}

    def _momenta(self) -> dict[str, Tensor]:
        named = zip(("momentum", "frequent_momentum"), self.sgd, strict=False)  # a model may have one head
        return {name: sgd.momentum for name, sgd in named if sgd.momentum is not None}

    def facts(self) -> dict[str, Any]:
        return {}

    def restore(self, file: TensorFile, prefix: str, facts: dict[str, Any]) -> None:
        for name, momentum in self._momenta().items():
            file.read_into(f"{prefix}{name}", momentum)
        if self.optimizer is not None:
            restore_state(self.optimizer, file, f"{prefix}adamw.")
            for state in self.optimizer.state.values():
                # Steps are counted on the host, and a state that lacks the key "kahan_comp" would be reset.
                if "step" in state:
                    state["step"] = state["step"].cpu()
                    state.setdefault("kahan_comp", None)


def _triton_runs(device: torch.device) -> bool:
    """Whether Triton works here: it needs a C compiler for its launcher, and capability 8.0 for bfloat16."""
    if device.type != "cuda" or not any(map(shutil.which, ("cc", "gcc", "clang"))):
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0)


def _releasing_adamw(
    model: Model, groups: list[Group], lr: float, device: torch.device
) -> torch.optim.Optimizer | None:
    """AdamW over `groups` whose updates run during backward; None if only the head is trained."""
    if not groups:
        return None
    groups, betas = with_rates(groups, lr), BETAS[groups[0]["params"][0].dtype]
    try:
        from optimi import AdamW, prepare_for_gradient_release
        from optimi.utils import HAS_TRITON
    except ModuleNotFoundError:
        return KahanAdamW(groups, betas, EPS)
    optimizer: torch.optim.Optimizer = AdamW(
        groups,
        lr=lr,
        betas=betas,
        eps=EPS,
        kahan_sum=True,
        triton=HAS_TRITON and _triton_runs(device),
        gradient_release=True,
    )
    prepare_for_gradient_release(model, optimizer)
    return optimizer
