"""The parts that the memory of a training is told in, and which tensor belongs to which."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from xmcpipe.memory.live_bytes import LiveBytes

if TYPE_CHECKING:
    from xmcpipe.training.trainer import Trainer

SCORES = "scores of a chunk"  # with their gradient, dX, and what the classifier's operators need
ACTIVATIONS = "activations"  # of the encoder, and all that lives in backward only
TEMPORARIES = "optimizer temporaries"
BATCH = "batch"
LABEL_FACTS = "label facts"  # documents and cluster of each label
LIBRARIES = "library workspace"
PARTS = (
    "encoder weights",
    "encoder gradients",
    "encoder moments",
    ACTIVATIONS,
    "classifier weights",
    "classifier indices",
    "classifier gradient",
    "classifier moments",
    SCORES,
    "auxiliary branch",
    "intermediate layer",
    BATCH,
    LABEL_FACTS,
    TEMPORARIES,
    LIBRARIES,
)
BRANCHES = {"auxiliary": "auxiliary branch", "intermediate": "intermediate layer"}


def part_of(parameter: str, what: str) -> str:
    """The part of the "weights", "gradient" or "moments" of a parameter (or buffer), by its name."""
    owner = parameter.split(".")[0]
    if owner in BRANCHES:
        return BRANCHES[owner]
    if owner == "encoder":
        return "encoder gradients" if what == "gradient" else f"encoder {what}"
    return "classifier indices" if parameter == "head.index" else f"classifier {what}"


def hold_all(meter: LiveBytes, trainer: "Trainer") -> None:
    """Count what a trainer holds between two steps."""
    model = trainer.model
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        meter.hold([tensor], part_of(name, "weights"))
    hold_moments(meter, trainer)
    if trainer.clusters is not None:
        meter.hold([trainer.clusters], LABEL_FACTS)
    if trainer.device.type == trainer.feed.label_counts.device.type:
        meter.hold([trainer.feed.label_counts], LABEL_FACTS)


def hold_moments(meter: LiveBytes, trainer: "Trainer") -> None:
    """Count, and name, what the optimizers keep."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in trainer.model.named_parameters()}
    meter.hold(trainer.updates.moments(), "classifier moments")
    for optimizer in optimizers(trainer):
        for parameter, state in optimizer.state.items():
            tensors = [value for value in state.values() if isinstance(value, Tensor)]
            meter.hold(tensors, part_of(names[parameter], "moments"))


def optimizers(trainer: "Trainer") -> Iterator[torch.optim.Optimizer]:
    """Those that the trainer's updates have."""
    for value in vars(trainer.updates).values():
        for one in value.values() if isinstance(value, dict) else (value,):
            if isinstance(one, torch.optim.Optimizer):
                yield one
