"""Checkpoints hold the complete state of a training, so that a killed run continues as if never killed.

A checkpoint is a folder: `state.json` (counters, position in the schedules, best evaluation so far) and
`tensors.safetensors` (weights, topology, optimizer state, random generators), written and read in pieces. It
is written under a temporary name and renamed once. The previous checkpoint is removed only afterwards, so a
kill at any moment leaves a complete checkpoint. Nothing is pickled.
"""

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xmcpipe.modeling.tensors import TensorFile, save
from xmcpipe.training.updates.protocol import State

PREFIX = "checkpoint-"
MODEL, STATE = "model.", "state."  # prefixes of the tensors' names


@dataclass
class Progress:
    """The counters of a training; state.json stores them.

    `step`: optimizer steps done. `position`: groups of batches done in `epoch`. `auxiliary`: whether the
    auxiliary branch still exists. `since_best`: evaluations since the best one. `loss_sum` and `loss_count`
    accumulate the loss for the next line of the log.
    """

    step: int = 0
    epoch: int = 0
    position: int = 0
    documents: int = 0
    rewirings: int = 0
    auxiliary: bool = False
    best_value: float | None = None
    best_step: int = 0
    since_best: int = 0
    finished: bool = False
    loss_sum: float = 0.0
    loss_count: int = 0
    seconds: float = 0.0
    evaluations: list[dict[str, float]] = field(default_factory=list)


class Together:
    """The State of several parts; no two of them use the same names."""

    def __init__(self, *parts: State) -> None:
        self._parts = parts

    def tensors(self) -> dict[str, Tensor]:
        return {name: tensor for part in self._parts for name, tensor in part.tensors().items()}

    def facts(self) -> dict[str, Any]:
        return {name: fact for part in self._parts for name, fact in part.facts().items()}

    def restore(self, file: TensorFile, prefix: str, facts: dict[str, Any]) -> None:
        for part in self._parts:
            part.restore(file, prefix, facts)


def write(
    folder: Path, progress: Progress, model: torch.nn.Module, state: State, device: torch.device
) -> None:
    """Write a checkpoint into `folder` and remove older ones; the random state includes that of `device`."""
    tensors = {f"{MODEL}{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"{STATE}{name}": tensor for name, tensor in state.tensors().items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(device)
    # The epoch is part of the name: the checkpoint at the end of an epoch must not overwrite the one that was
    # written within the epoch after the same step.
    # Zero-padded numbers make the order of the names that of the checkpoints (see `latest`).
    target = folder / f"{PREFIX}{progress.step:09d}-{progress.epoch:06d}"
    if target.is_dir():
        return
    temporary = folder / f".{target.name}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save(temporary / "tensors.safetensors", tensors)
    with (temporary / "state.json").open("w", encoding="utf-8") as file:
        json.dump({"progress": asdict(progress), "state": state.facts()}, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(target)
    for older in folder.glob(f"{PREFIX}*"):
        if older != target:
            # Renamed first, so that `latest` never finds a partly deleted folder.
            shutil.rmtree(older.rename(older.with_name(f".{older.name}")))


def latest(folder: Path) -> Path | None:
    """The newest complete checkpoint in `folder`, or None."""
    return max(folder.glob(f"{PREFIX}*"), default=None)


def read_progress(path: Path) -> Progress:
    """The counters of the checkpoint at `path`."""
    return Progress(**json.loads((path / "state.json").read_text(encoding="utf-8"))["progress"])


def restore(path: Path, model: torch.nn.Module, state: State, device: torch.device) -> None:
    """Load weights, topology, `state` and random generators from the checkpoint at `path`, in place.

    Model and state must have the same parts as when it was written (see Progress.auxiliary).
    """
    facts = json.loads((path / "state.json").read_text(encoding="utf-8"))
    file = TensorFile(path / "tensors.safetensors")
    for name, tensor in model.state_dict().items():
        file.read_into(f"{MODEL}{name}", tensor)
    state.restore(file, STATE, facts["state"])
    torch.set_rng_state(file.read("random.cpu"))
    if "random.cuda" in file.names and device.type == "cuda":
        torch.cuda.set_rng_state(file.read("random.cuda"), device)
