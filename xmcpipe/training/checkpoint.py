"""The whole state of a training, so that a killed run goes on as if it had not been killed.

A checkpoint is a folder: `state.json` (counters, schedules' place, best so far) and `tensors.safetensors`
(weights, topology, both optimizers' moments, random generators). It is written beside its place and renamed
once; the one before is removed after that, so a kill at any moment leaves a whole one. Nothing is pickled.
"""

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xmcpipe.modeling.tensors import load, save

PREFIX = "checkpoint-"


@dataclass
class Progress:
    """Where a training is.

    `step`: optimizer steps done; `position`: groups of batches done in `epoch`.
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


def write(
    folder: Path,
    progress: Progress,
    model: torch.nn.Module,
    optimizers: dict[str, torch.optim.Optimizer],
    scaler: torch.amp.GradScaler,
    device: torch.device,
) -> None:
    """Write a checkpoint into `folder` and remove older ones; the random state is that of `device` too."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    facts: dict[str, Any] = {"progress": asdict(progress), "scaler": scaler.state_dict(), "optimizers": {}}
    for name, optimizer in optimizers.items():
        state = optimizer.state_dict()["state"]
        facts["optimizers"][name] = sorted(state)
        for number, values in state.items():
            for key, value in values.items():
                if value is not None:
                    tensors[f"{name}.{number}.{key}"] = torch.as_tensor(value)
    tensors["random.cpu"] = torch.get_rng_state()
    if device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(device)
    # With the epoch, so that the one at an epoch's end has its own name and replaces nothing half-way.
    place = folder / f"{PREFIX}{progress.step:09d}-{progress.epoch:06d}"
    if place.is_dir():
        return
    beside = folder / f".{place.name}"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    save(beside / "tensors.safetensors", tensors)
    with (beside / "state.json").open("w", encoding="utf-8") as file:
        json.dump(facts, file)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(place)
    for older in folder.glob(f"{PREFIX}*"):
        if older != place:
            doomed = older.rename(older.with_name(f".{older.name}"))  # in one step: never seen half-deleted
            shutil.rmtree(doomed)


def latest(folder: Path) -> Path | None:
    """The newest whole checkpoint in `folder`, or None."""
    return max(folder.glob(f"{PREFIX}*"), default=None)


def read_progress(place: Path) -> Progress:
    """The counters of a checkpoint."""
    return Progress(**json.loads((place / "state.json").read_text(encoding="utf-8"))["progress"])


def restore(
    place: Path,
    model: torch.nn.Module,
    optimizers: dict[str, torch.optim.Optimizer],
    scaler: torch.amp.GradScaler,
    device: torch.device,
) -> None:
    """Load weights, topology, optimizers, loss scale and random generators from a checkpoint.

    Model and optimizers must have the parts they had then (see Progress.auxiliary).
    """
    facts = json.loads((place / "state.json").read_text(encoding="utf-8"))
    tensors = load(place / "tensors.safetensors")
    model.load_state_dict(_below(tensors, "model."))
    for name, optimizer in optimizers.items():
        table = optimizer.state_dict()
        state: dict[int, dict[str, Tensor]] = {number: {} for number in facts["optimizers"][name]}
        for key, value in _below(tensors, f"{name}.").items():
            number, field_name = key.split(".", 1)
            state[int(number)][field_name] = value
        table["state"] = state
        optimizer.load_state_dict(table)
    scaler.load_state_dict(facts["scaler"])
    torch.set_rng_state(tensors["random.cpu"])
    if "random.cuda" in tensors and device.type == "cuda":
        torch.cuda.set_rng_state(tensors["random.cuda"], device)


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
