"""The whole state of a training, so that a killed run goes on as if it had not been killed.

A checkpoint is a folder: `state.json` (counters, schedules' place, best so far) and `tensors.safetensors`
(weights, topology, what the optimizers keep, random generators), written and read piece by piece. It is
written beside its place and renamed once; the one before is removed after that, so a kill at any moment
leaves a whole one. Nothing is pickled.
"""

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from xmcpipe.modeling.tensors import TensorFile, save
from xmcpipe.training.updates import State

PREFIX = "checkpoint-"
MODEL, STATE = "model.", "state."  # how tensors' names begin


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
    folder: Path, progress: Progress, model: torch.nn.Module, state: State, device: torch.device
) -> None:
    """Write a checkpoint into `folder` and remove older ones; the random state is that of `device` too."""
    tensors = {f"{MODEL}{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"{STATE}{name}": tensor for name, tensor in state.tensors().items()}
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
        json.dump({"progress": asdict(progress), "state": state.facts()}, file)
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


def restore(place: Path, model: torch.nn.Module, state: State, device: torch.device) -> None:
    """Load weights, topology, what `state` keeps and random generators from a checkpoint, in place.

    Model and state must have the parts they had then (see Progress.auxiliary).
    """
    facts = json.loads((place / "state.json").read_text(encoding="utf-8"))
    file = TensorFile(place / "tensors.safetensors")
    for name, tensor in model.state_dict().items():
        file.read_into(f"{MODEL}{name}", tensor)
    state.restore(file, STATE, facts["state"])
    torch.set_rng_state(file.read("random.cpu"))
    if "random.cuda" in file.names and device.type == "cuda":
        torch.cuda.set_rng_state(file.read("random.cuda"), device)
