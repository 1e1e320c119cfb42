"""`memory = "light"`: 16-bit weights, and neither a gradient nor the scores of more than one chunk kept.

The classifier is updated by SGD in the forward pass (modeling.stepped), its bfloat16 weights rounded at
random, so that small steps count on average. The encoder and the layers beside it have bfloat16 weights and
an AdamW that carries what rounding takes from a weight on to the next step (Kahan summation; Zamirai et al.,
"Revisiting bfloat16 training", 2020), and that updates each weight as soon as backward has its gradient,
which is freed there (LOMO, Lv et al., 2023): torch-optimi's. At an encoder's rates, rate times decay is
below the last place of a bfloat16: those weights do not decay, and would hardly in float32. With `precision =
"float32"` all this happens to float32 weights.
"""

import shutil
from typing import Any

import torch
from torch import Tensor

from xmcpipe.modeling.heads import FFIHead
from xmcpipe.modeling.model import Model
from xmcpipe.modeling.stepped import HeadSGD, stepped_loss
from xmcpipe.modeling.tensors import TensorFile
from xmcpipe.ops.layer import Positives
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.optimizer import (
    Group,
    branch_groups,
    drop_group,
    encoder_groups,
    restore_state,
    set_rate,
    state_tensors,
    with_rates,
)

# A second moment in bfloat16 would never fall by a thousandth of itself: that is less than its last place.
BETAS = {torch.bfloat16: (0.9, 0.99), torch.float32: (0.9, 0.999)}


class LightUpdates:
    """Updates (see training.updates) of `model` on `device`; its weights are of the wanted dtype already."""

    autocast: torch.dtype | None = None
    loss_scale = 1.0

    def __init__(self, config: TrainConfig, model: Model, device: torch.device) -> None:
        assert isinstance(model.head, FFIHead), "the config says so"
        self.config, self.head = config, model.head
        self.sgd = HeadSGD.of(model.head, config.head.momentum, config.head.weight_decay)
        model.head.requires_grad_(False)
        groups = encoder_groups(model, config.encoder) + branch_groups(model, config.head, config.auxiliary)
        self.optimizer = _releasing_adamw(model, groups, config.encoder.lr, device)

    def begin(self, step: int, rate_factor: float) -> None:
        if self.optimizer is not None:
            set_rate(self.optimizer, rate_factor)
        self.sgd.rate.fill_(self.config.head.lr * rate_factor)
        self.sgd.step.fill_(step)

    def main_loss(self, features_BD: Tensor, positives: Positives, factor: float, share: float) -> Tensor:
        config = self.config
        self.sgd.scale.fill_(share * factor)
        return stepped_loss(
            self.head, features_BD, positives, config.loss, factor, self.sgd, config.label_chunk
        )

    def backward(self, total: Tensor) -> None:
        if total.requires_grad:  # not with a frozen encoder and nothing between it and the head
            torch.autograd.backward(total)

    def step(self) -> None:
        """All of it has happened in the forward pass and in backward."""

    def moments(self) -> list[Tensor]:
        return [] if self.sgd.momentum is None else [self.sgd.momentum]

    def drop_auxiliary(self) -> None:
        if self.optimizer is not None:
            drop_group(self.optimizer, "auxiliary")

    def tensors(self) -> dict[str, Tensor]:
        held = {} if self.optimizer is None else state_tensors(self.optimizer)
        tensors = {f"adamw.{key}": tensor for key, tensor in held.items()}
        return tensors if self.sgd.momentum is None else {**tensors, "momentum": self.sgd.momentum}

    def facts(self) -> dict[str, Any]:
        return {}

    def restore(self, file: TensorFile, prefix: str, facts: dict[str, Any]) -> None:
        if self.sgd.momentum is not None:
            file.read_into(f"{prefix}momentum", self.sgd.momentum)
        if self.optimizer is not None:
            restore_state(self.optimizer, file, f"{prefix}adamw.")
            for state in self.optimizer.state.values():
                if "step" in state:  # it counts on the host, and takes a state without this key for a new one
                    state["step"] = state["step"].cpu()
                    state.setdefault("kahan_comp", None)


def _triton_runs(device: torch.device) -> bool:
    """It compiles a launcher on this machine, and knows bfloat16 from compute capability 8.0 on."""
    if device.type != "cuda" or not any(map(shutil.which, ("cc", "gcc", "clang"))):
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0)


def _releasing_adamw(
    model: Model, groups: list[Group], lr: float, device: torch.device
) -> torch.optim.Optimizer | None:
    """AdamW over `groups`, stepped by backward itself; None where nothing but the head is trained."""
    from optimi import AdamW, prepare_for_gradient_release
    from optimi.utils import HAS_TRITON

    if not groups:
        return None
    dtype = groups[0]["params"][0].dtype
    optimizer: torch.optim.Optimizer = AdamW(
        with_rates(groups, lr),
        lr=lr,
        betas=BETAS[dtype],
        eps=1e-8,  # torch's: the gradient of a mean over B x L is small
        kahan_sum=True,
        triton=HAS_TRITON and _triton_runs(device),
        gradient_release=True,
    )
    prepare_for_gradient_release(model, optimizer)
    return optimizer
