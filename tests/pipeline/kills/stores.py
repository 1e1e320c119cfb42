"""What is in a store, without what differs between two runs of the same: times, speeds, versions."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

from tests.pipeline.forks import Fork
from tests.pipeline.places import TIMEOUT

SHORT = ["train.epochs=2", "train.auxiliary.cutoff_epoch=0.5"]  # 62 steps, 16 of them with the branch

# Figures and lines of the log that hold times or sizes of memory.
VARYING = {"documents_per_second", "memory_bytes", "seconds", "seconds_per_step", "memory", "train_seconds"}


def contents(store: Path) -> dict[str, Any]:
    """Path -> sha256 of each file of each artifact, or its JSON without what varies."""
    found = (path for path in store.glob("[!.]*/*/**/*") if path.is_file())
    return {
        str(path.relative_to(store)): _content(path)
        for path in found
        # TensorBoard names its files after the time.
        if "tensorboard" not in path.parts
    }


def _content(path: Path) -> Any:
    if path.name == "manifest.json":
        manifest = json.loads(path.read_text())
        return {key: manifest[key] for key in ("fingerprint", "config", "inputs")}
    if path.suffix in (".json", ".jsonl") and "tokenizer" not in path.parts and "encoder" not in path.parts:
        lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
        return [_without_times(json.loads(line)) for line in lines]
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(each) for key, each in value.items() if key not in VARYING}
    return value


def leftovers(store: Path) -> list[str]:
    """What is in the store besides artifacts and what was verified: of ended runs there should be nothing."""
    return sorted(str(path.relative_to(store)) for path in store.glob(".[!v]*/*"))


def wait_for_step(store: Path, step: int, process: Fork) -> None:
    """Wait until a training that runs in `process` has a checkpoint at or after `step`."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        assert process.is_running, process.finish(1).stderr
        for path in store.glob(".scratch/model-*/checkpoint-*"):
            if int(path.name.split("-")[1]) >= step:
                return
        time.sleep(0.01)
    raise AssertionError(f"no checkpoint at step {step}")
