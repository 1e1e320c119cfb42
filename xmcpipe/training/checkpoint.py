"""Checkpoints hold the complete state of a training, so that a killed run continues as if never killed.

A checkpoint is a folder:

state.json           counters, position in the schedules, best evaluation so far
tensors.safetensors  weights, topology, optimizer state, random generators, in pieces
metrics.jsonl        the log so far: a resumed training continues from this copy
manifest.json        size and sha256 of these files and of the best weights, written last

The weights of the best evaluation are beside the checkpoints, in a file that its step names; the checkpoints
since then refer to it. A checkpoint is written under a temporary name and renamed once, and only then is
the oldest of three removed. So a kill at any moment leaves two complete checkpoints, and if one is damaged,
training continues from the other (see `training.resume`). Nothing is pickled.
"""

import json
import math
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xmcpipe.artifacts.fingerprint import sha256_of_file
from xmcpipe.artifacts.sealed import seal, unseal
from xmcpipe.artifacts.synced import sync, write_synced
from xmcpipe.json_file import parse_json
from xmcpipe.modeling.tensors import TensorFile, save
from xmcpipe.training.log import CHECKPOINT
from xmcpipe.training.updates.protocol import State

BEST = "best-"
KEPT = 2  # number of checkpoints that stay
SHARE = 0.03  # largest share of a training's time that checkpoints take
TENSORS, STATE_FILE, LOG, MANIFEST = "tensors.safetensors", "state.json", "metrics.jsonl", "manifest.json"
FORMAT = 1
MODEL, STATE = "model.", "state."  # prefixes of the tensors' names


@dataclass
class Progress:
    """The counters of a training; state.json stores them.

    `step`: optimizer steps done. `position`: groups of batches done in `epoch`. `auxiliary`: whether the
    auxiliary branch still exists. `best_sha256`: of the file of the best weights, empty before the first
    evaluation. `since_best`: evaluations since the best one. `loss_sum` and `loss_count`
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
    best_sha256: str = ""
    since_best: int = 0
    finished: bool = False
    loss_sum: float = 0.0
    loss_count: int = 0
    seconds: float = 0.0
    evaluations: list[dict[str, float]] = field(default_factory=list)

    def add_loss(self, loss: float) -> None:
        """Count the loss of a step for the next line of the log, unless it isn't finite."""
        if math.isfinite(loss):
            self.loss_sum, self.loss_count = self.loss_sum + loss, self.loss_count + 1


class Pace:
    """The time of a training that has already run for `seconds`, and when its next checkpoint is due.

    `minutes` is train.checkpoint_minutes. What the last checkpoint took decides how soon the next may follow.
    """

    def __init__(self, seconds: float, minutes: float) -> None:
        self._started = time.monotonic() - seconds
        self._written = time.monotonic()
        self._interval, self._cost = 60 * minutes, 0.0

    @property
    def seconds(self) -> float:
        """Seconds of training, including those before the checkpoint that it was resumed from."""
        return time.monotonic() - self._started

    def due(self, epoch_ended: bool) -> bool:
        """Whether to write a checkpoint now. With an interval of 0 one is due after every step."""
        if not self._interval:
            return True
        cheap = self._cost * (1 / SHARE - 1)
        return time.monotonic() - self._written > (cheap if epoch_ended else max(self._interval, cheap))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A context around the writing of a checkpoint."""
        begin = time.monotonic()
        yield
        self._written = time.monotonic()
        self._cost = self._written - begin


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
    folder: Path,
    progress: Progress,
    model: torch.nn.Module,
    state: State,
    device: torch.device,
    log: Path | None = None,
) -> bool:
    """Write a checkpoint into `folder` and remove all but the newest KEPT; False if it exists already.

    The random state includes that of `device`; `log` is the log so far, None for an empty one.
    """
    # The epoch is part of the name: the checkpoint at the end of an epoch must not overwrite the one that was
    # written within the epoch after the same step.
    # Zero-padded numbers make the order of the names that of the checkpoints (see `newest_first`).
    target = folder / f"{CHECKPOINT}{progress.step:09d}-{progress.epoch:06d}"
    if target.is_dir():
        return False
    temporary = folder / f".{target.name}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    hashes = {TENSORS: save(temporary / TENSORS, _tensors(model, state, device))}
    content = json.dumps({"progress": asdict(progress), "state": state.facts()}).encode()
    write_synced(temporary / STATE_FILE, content)
    write_synced(temporary / LOG, b"" if log is None else log.read_bytes())
    hashes |= {name: sha256_of_file(temporary / name) for name in (STATE_FILE, LOG)}
    sizes = {name: (temporary / name).stat().st_size for name in hashes}
    if progress.best_sha256:
        name = best_path(folder, progress).name
        hashes[name], sizes[name] = progress.best_sha256, (folder / name).stat().st_size
    files = {name: {"bytes": sizes[name], "sha256": hashes[name]} for name in hashes}
    write_synced(temporary / MANIFEST, seal({"format": FORMAT, "files": files}).encode())
    sync(temporary)
    temporary.rename(target)
    sync(folder)
    remove(folder, newest_first(folder)[KEPT:])
    return True


def _tensors(model: torch.nn.Module, state: State, device: torch.device) -> dict[str, Tensor]:
    tensors = {f"{MODEL}{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"{STATE}{name}": tensor for name, tensor in state.tensors().items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(device)
    return tensors


def newest_first(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, whole or damaged."""
    return sorted(folder.glob(f"{CHECKPOINT}*"), reverse=True)


def remove(folder: Path, checkpoints: list[Path]) -> None:
    """Remove these checkpoints, and the best weights that no other one refers to."""
    for each in checkpoints:
        # Renamed first, so that a partly deleted folder isn't taken for a damaged checkpoint.
        shutil.rmtree(each.rename(each.with_name(f".{each.name}")))
    used = {name for each in newest_first(folder) for name in read_manifest(each)}
    for path in folder.glob(f"{BEST}*"):
        if path.name not in used:
            path.unlink()


def best_path(folder: Path, progress: Progress) -> Path:
    """The file of the weights of the best evaluation."""
    return folder / f"{BEST}{progress.best_step:09d}.safetensors"


def read_manifest(path: Path) -> dict[str, dict[str, Any]]:
    """Name -> {"bytes", "sha256"} of each file of the checkpoint; {} if its manifest is damaged."""
    try:
        table = unseal((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return table["files"] if table.get("format") == FORMAT else {}


def fault(path: Path) -> str | None:
    """The first fault of the checkpoint at `path`, None if it is whole. Reads every byte."""
    files = read_manifest(path)
    if not files:
        return f"{MANIFEST} is missing or damaged"
    for name, facts in files.items():
        file = (path.parent if name.startswith(BEST) else path) / name
        try:
            if file.stat().st_size != facts["bytes"] or sha256_of_file(file) != facts["sha256"]:
                return f"{name} was changed: its size or sha256 differs from {MANIFEST}"
        except OSError as error:
            return f"{name} can't be read: {error.strerror}"
    return None


def read_progress(path: Path) -> Progress:
    """The counters of the checkpoint at `path`, which is whole."""
    return Progress(**parse_json((path / STATE_FILE).read_text(encoding="utf-8"))["progress"])


def restore(path: Path, model: torch.nn.Module, state: State, device: torch.device) -> None:
    """Load weights, topology, `state` and random generators from the checkpoint at `path`, in place.

    The checkpoint is whole (see `fault`). Model and state must have the same parts as when it was written
    (see Progress.auxiliary).
    """
    facts = parse_json((path / STATE_FILE).read_text(encoding="utf-8"))
    file = TensorFile(path / TENSORS)
    for name, tensor in model.state_dict().items():
        file.read_into(f"{MODEL}{name}", tensor)
    state.restore(file, STATE, facts["state"])
    torch.set_rng_state(file.read("random.cpu"))
    if "random.cuda" in file.names and device.type == "cuda":
        torch.cuda.set_rng_state(file.read("random.cuda"), device)
