"""The two optimizers, encoder and classifier, with their parameter groups, and access to a parameter's
moments.
"""

from typing import Any

import torch
from torch import Tensor, nn

from xmcpipe.modeling.model import Model
from xmcpipe.training.config import AuxiliaryConfig, EncoderConfig, HeadConfig

Group = dict[str, Any]


def encoder_optimizer(model: Model, config: EncoderConfig) -> torch.optim.Optimizer:
    """The encoder's.

    Biases and norms (tensors of one dimension) are not decayed.
    """
    parameters = [parameter for parameter in model.encoder.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return _build(
        config.optimizer, [group for group in groups if group["params"]], config.lr, config.momentum
    )


def classifier_optimizer(model: Model, head: HeadConfig, auxiliary: AuxiliaryConfig) -> torch.optim.Optimizer:
    """The head's, with groups of their own rate for the intermediate layer and the auxiliary branch."""
    decayed = [p for p in model.head.parameters() if p.dim() > 1]
    biases = [p for p in model.head.parameters() if p.dim() <= 1]
    groups: list[Group] = [{"name": "head", "params": decayed, "weight_decay": head.weight_decay}]
    if biases:
        groups.append({"name": "bias", "params": biases, "weight_decay": 0.0})
    for name, layer, lr in (
        ("intermediate", model.intermediate, head.intermediate_lr),
        ("auxiliary", model.auxiliary, auxiliary.lr),
    ):
        if layer is not None:
            group = {"name": name, "params": list(layer.parameters()), "lr": lr}
            groups.append({**group, "weight_decay": head.weight_decay})
    return _build(head.optimizer, groups, head.lr, head.momentum)


def drop_group(optimizer: torch.optim.Optimizer, name: str) -> None:
    """Forget the group called `name`: its parameters, their gradients and moments are freed."""
    for group in optimizer.param_groups:
        if group.get("name") == name:
            for parameter in group["params"]:
                parameter.grad = None
                optimizer.state.pop(parameter, None)
    optimizer.param_groups[:] = [group for group in optimizer.param_groups if group.get("name") != name]


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's rate to `factor` times the rate it was built with."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def moments(optimizer: torch.optim.Optimizer, parameter: nn.Parameter) -> list[Tensor]:
    """The optimizer's tensors of the parameter's own shape (Adam's two moments, SGD's momentum), to be
    edited.
    """
    state = optimizer.state.get(parameter, {})
    return [value for value in state.values() if torch.is_tensor(value) and value.shape == parameter.shape]


def _build(kind: str, groups: list[Group], lr: float, momentum: float) -> torch.optim.Optimizer:
    for group in groups:
        group["base_lr"] = group.setdefault("lr", lr)
    if kind == "sgd":
        # Not fused: that one starts from uninitialised momentum where the loss scaler skips the first step.
        return torch.optim.SGD(groups, lr=lr, momentum=momentum)
    return (torch.optim.AdamW if kind == "adamw" else torch.optim.Adam)(groups, lr=lr, fused=True)
