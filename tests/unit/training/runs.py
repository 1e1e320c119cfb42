"""Tiny trainings: a trainer over 64 documents and 40 labels, in four clusters."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from xmcpipe.config import from_table
from xmcpipe.data.shards.files import Int64s
from xmcpipe.data.vocabulary_file import read_vocabulary
from xmcpipe.training.build import new_model
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.feed import Feed
from xmcpipe.training.initial.grouping import label_order
from xmcpipe.training.initial.start import Start
from xmcpipe.training.trainer import Trainer
from xmcpipe.training.updates.light import LightUpdates
from xmcpipe.training.updates.paper import PaperUpdates

CPU = torch.device("cpu")
LABELS = 40
CLUSTERS = torch.arange(LABELS) % 4
HEAD: dict[str, Any] = {
    "fan_in": 8, "bias": True, "optimizer": "sgd", "lr": 0.5, "momentum": 0.9, "weight_decay": 1e-3,
}  # fmt: skip
LIGHT: dict[str, Any] = {"memory": "light", "precision": "bfloat16", "loss": "bce", "head": HEAD}


def make(
    shards: Path,
    encoder: Path,
    scratch: Path,
    /,
    frozen: bool = False,
    dropout: float = 0.0,
    start: Path | None = None,
    **changes: Any,
) -> Trainer:
    """A trainer; `changes` are keys of [train], `frozen` the encoder, `dropout` that inside the encoder.

    `start` is the folder of a model to start from.
    """
    table: dict[str, Any] = {
        "epochs": 4,
        "batch_size": 16,
        "warmup_steps": 2,
        "precision": "float32",
        "validation": 0.0,
        "encoder": {"dropout": 0.0},
        "head": {"fan_in": 6, "bias": True},
        "rewire": {"interval": 3, "fraction": 0.3},
        "auxiliary": {"weight": 0.4, "cutoff_epoch": 2.0},
    }
    config = from_table(TrainConfig, {**table, **changes}, "train")
    feed = Feed(shards, config, 0, CPU)
    on = config.auxiliary.weight > 0
    order = label_order(config, feed, None)
    begin = None if start is None else Start.read(start, read_vocabulary(shards)["label"].to_pylist())
    order = order if begin is None else begin.order(order)
    model = new_model(config, str(encoder), 204, feed, 4 if on else 0, order_L=order)
    feed.separate(model.frequent, model.head.order)
    if begin is not None:
        begin.copy_to(model, frozen=False)
    model.encoder.requires_grad_(not frozen)
    for module in model.encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout
    return Trainer(config, model, feed, CLUSTERS if on else None, CPU, scratch)


def recorded_losses(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The main loss of every step of a whole training."""
    losses: list[float] = []
    step = trainer.step

    def watched(group: list[Int64s]) -> float:
        losses.append(step(group))
        return losses[-1]

    monkeypatch.setattr(trainer, "step", watched)
    trainer.fit()
    return losses


class Killed(BaseException):
    """What ends a run as a signal would."""


def fit_until(trainer: Trainer, stop: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train until `stop` steps are done, and die there."""
    step = trainer.step

    def step_or_die(group: list[Int64s]) -> float:
        if trainer.progress.step == stop:
            raise Killed
        return step(group)

    monkeypatch.setattr(trainer, "step", step_or_die)
    with pytest.raises(Killed):
        trainer.fit()


def paper(trainer: Trainer) -> PaperUpdates:
    """The updates of a trainer with memory = "paper"."""
    assert isinstance(trainer.updates, PaperUpdates)
    return trainer.updates


def light(trainer: Trainer) -> LightUpdates:
    """The updates of a trainer with memory = "light"."""
    assert isinstance(trainer.updates, LightUpdates)
    return trainer.updates


def states(trainer: Trainer) -> dict[str, Tensor]:
    """The tensors of the model and of the updates, copied."""
    tensors = {**trainer.model.state_dict(), **trainer.updates.tensors()}
    return {name: tensor.clone() for name, tensor in tensors.items()}


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors of the same shape and dtype have the same bytes."""
    return torch.equal(one.reshape(-1).view(torch.uint8), other.reshape(-1).view(torch.uint8))


def require_same_end(resumed: Trainer, whole: Trainer) -> None:
    """Both trainings have the same bits and the same history."""
    expected, found = states(whole), states(resumed)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert same_bits(found[name], tensor), name
    assert resumed.progress.evaluations == whole.progress.evaluations
