"""The Updates of each value of `memory` in a recipe."""

from collections.abc import Callable

import torch

from xmcpipe.modeling.model import Model
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.updates.light import LightUpdates
from xmcpipe.training.updates.paper import PaperUpdates
from xmcpipe.training.updates.protocol import Updates

UPDATES: dict[str, Callable[[TrainConfig, Model, torch.device, str], Updates]] = {
    "paper": PaperUpdates,
    "light": LightUpdates,
}


def updates_of(config: TrainConfig, model: Model, device: torch.device, device_type: str = "") -> Updates:
    """How the training of `config` updates the parameters of `model` on `device`.

    `device_type` is the type of device whose arithmetic is used, by default that of `device`.
    """
    return UPDATES[config.memory](config, model, device, device_type)
