"""Parameter groups with their learning rates, torch's optimizers over them, and access to optimizer state."""

from typing import Any

import torch
from torch import Tensor, nn

from xmcpipe.modeling.heads import Head
from xmcpipe.modeling.model import Model
from xmcpipe.modeling.tensors import TensorFile
from xmcpipe.training.config import AuxiliaryConfig
from xmcpipe.training.encoder_config import EncoderConfig
from xmcpipe.training.head_config import HeadConfig

Group = dict[str, Any]


def encoder_groups(model: Model, config: EncoderConfig) -> list[Group]:
    """The groups of the encoder: decayed weights, and biases and norms (one dimension) without decay."""
    parameters = [parameter for parameter in model.encoder.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def branch_groups(model: Model, head: HeadConfig, auxiliary: AuxiliaryConfig) -> list[Group]:
    """A group with its own rate for each of intermediate layer and auxiliary branch, if they exist."""
    groups: list[Group] = []
    for name, layer, lr in (
        ("intermediate", model.intermediate, head.intermediate_lr),
        ("auxiliary", model.auxiliary, auxiliary.lr),
    ):
        if layer is not None:
            group = {"name": name, "params": list(layer.parameters()), "lr": lr}
            groups.append({**group, "weight_decay": head.weight_decay})
    return groups


def encoder_optimizer(model: Model, config: EncoderConfig) -> torch.optim.Optimizer:
    """The optimizer of the encoder."""
    return _build(config.optimizer, encoder_groups(model, config), config.lr, config.momentum)


def classifier_optimizer(model: Model, head: HeadConfig, auxiliary: AuxiliaryConfig) -> torch.optim.Optimizer:
    """The optimizer of the head, the intermediate layer and the auxiliary branch."""
    groups: list[Group] = []
    for name, part in zip(("", "frequent "), model.heads, strict=False):  # a model may have one head
        # The weights of words have no gradient: the forward pass updates them (modeling.word_sgd).
        trained = [parameter for parameter in part.parameters() if parameter.requires_grad]
        biases = [p for p in trained if p.dim() <= 1]
        rate = head.lr * rate_share(model, part)
        group = {"name": f"{name}head", "params": [p for p in trained if p.dim() > 1], "lr": rate}
        groups.append({**group, "weight_decay": head.weight_decay})
        if biases:
            groups.append({"name": f"{name}bias", "params": biases, "lr": rate, "weight_decay": 0.0})
    groups += branch_groups(model, head, auxiliary)
    return _build(head.optimizer, groups, head.lr, head.momentum)


def rate_share(model: Model, head: Head) -> float:
    """The learning rate of a head of `model`, as a share of that of its first head.

    A step of given size on every weight moves a score in proportion to the number of features that it reads.
    """
    return model.head.weight.shape[1] / head.weight.shape[1]


def drop_group(optimizer: torch.optim.Optimizer, name: str) -> None:
    """Remove the group called `name`, and free the gradients and moments of its parameters."""
    for group in optimizer.param_groups:
        if group.get("name") == name:
            for parameter in group["params"]:
                parameter.grad = None
                optimizer.state.pop(parameter, None)
    optimizer.param_groups[:] = [group for group in optimizer.param_groups if group.get("name") != name]


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's rate to `factor` times its configured rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def moments(optimizer: torch.optim.Optimizer, parameter: nn.Parameter) -> list[Tensor]:
    """The optimizer's tensors of the parameter's own shape (Adam's two moments, SGD's momentum).

    They are not copies, so a rewiring can edit them.
    """
    state = optimizer.state.get(parameter, {})
    return [value for value in state.values() if torch.is_tensor(value) and value.shape == parameter.shape]


def state_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's own state tensors as `NUMBER.NAME`; parameters are numbered across all groups."""
    return {
        f"{number}.{name}": value
        for number, parameter in enumerate(_parameters(optimizer))
        for name, value in optimizer.state.get(parameter, {}).items()
        if torch.is_tensor(value)
    }


def restore_state(optimizer: torch.optim.Optimizer, file: TensorFile, prefix: str) -> None:
    """Read `state_tensors` back from `file`, where their names begin with `prefix`."""
    parameters = _parameters(optimizer)
    for key in file.names:
        if key.startswith(prefix):
            number, name = key.removeprefix(prefix).split(".")
            parameter = parameters[int(number)]
            optimizer.state[parameter][name] = file.read(key, parameter.device)


def with_rates(groups: list[Group], lr: float) -> list[Group]:
    """The groups, each with a rate (`lr` unless it has its own), stored as `base_lr` for `set_rate`."""
    for group in groups:
        group["base_lr"] = group.setdefault("lr", lr)
    return groups


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _build(kind: str, groups: list[Group], lr: float, momentum: float) -> torch.optim.Optimizer:
    with_rates(groups, lr)
    if kind == "sgd":
        # Not fused: the fused SGD starts from uninitialised momentum if the loss scaler skips the first step.
        return torch.optim.SGD(groups, lr=lr, momentum=momentum)
    return (torch.optim.AdamW if kind == "adamw" else torch.optim.Adam)(groups, lr=lr, fused=True)
