"""Killed processes: they leave no artifact, and a killed training continues with the same result."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.places import LIGHT, Workplace, settings

KINDS = {
    "download": "raw",
    "tokenize": "shards",
    "cluster": "clusters",
    "train": "model",
    "predict": "predictions",
    "eval": "metrics",
}

# Runs the command line and kills its own process (like kill -9) after the stage has written its files, but
# before they are hashed and renamed: the worst moment.
KILL_UNPUBLISHED = """
import os, signal
from xmcpipe.artifacts.store import Store
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
Store.publish = die
"""


@pytest.mark.parametrize("stage", list(KINDS))
def test_a_stage_killed_before_it_is_done_leaves_no_artifact(workplace: Workplace, stage: str) -> None:
    kind = KINDS[stage]
    whole = next((workplace.store / kind).glob("*"))
    before = sorted(path.name for path in whole.rglob("*"))
    shutil.rmtree(whole)
    killed = workplace.patched(KILL_UNPUBLISHED, stage, "--recipe", "tiny.toml")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not list((workplace.store / kind).glob("*"))
    assert list((workplace.store / ".building").iterdir())  # it was killed before it was done
    shown = json.loads(workplace.call("status", "tiny.toml", "--json").stdout)
    assert next(step for step in shown["stages"] if step["stage"] == stage)["state"] == "missing"
    workplace.call(stage, "--recipe", "tiny.toml")
    assert sorted(path.name for path in whole.rglob("*") if "events" not in path.name) == [
        name for name in before if "events" not in name
    ]
    workplace.call("gc", "--yes")
    assert not list((workplace.store / ".building").iterdir())


def test_an_import_killed_before_it_is_done_leaves_no_artifact(tmp_path: Path) -> None:
    place = Workplace(tmp_path)
    lines = [{"id": str(number), "text": f"text {number}", "labels": ["even"]} for number in range(200)]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    arguments = ["import", "--train", "mine.jsonl"]
    killed = place.patched(KILL_UNPUBLISHED, *arguments)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not list(place.store.glob("raw/*"))
    assert list(place.store.glob(".building/raw.*/train.parquet"))
    place.call(*arguments)
    assert len(list(place.store.glob("raw/*/manifest.json"))) == 1


@pytest.mark.parametrize("lines", [[], LIGHT], ids=["paper", "light"])
def test_a_killed_training_continues_with_the_same_result(workplace: Workplace, lines: list[str]) -> None:
    """Weights, topology, figures and log of a run that was killed twice equal those of one that was not."""
    train = ["train", "--recipe", "tiny.toml", *settings(lines)]
    whole = Path(json.loads(workplace.call(*train, "--json").stdout)["path"])
    others = {*workplace.store.glob("model/*")} - {whole}
    reference = [path.read_bytes() for path in sorted(whole.rglob("*.safetensors"))]
    assert len(reference) == 2  # the layer, and the encoder
    log = (whole / "log" / "metrics.jsonl").read_text()
    whole.rename(workplace.folder / "reference")
    arguments = [*train, "--set", "train.checkpoint_minutes=0.0"]
    for step in (17, 60):  # with and without the auxiliary branch
        process = subprocess.Popen(
            workplace.command(*arguments),
            cwd=workplace.folder,
            env=workplace.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for_step(workplace, step, process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert {*workplace.store.glob("model/*")} == others
    workplace.call(*train)
    assert [path.read_bytes() for path in sorted(whole.rglob("*.safetensors"))] == reference
    facts, expected = (
        json.loads((folder / "model.json").read_text()) for folder in (whole, workplace.folder / "reference")
    )
    assert facts["figures"]["validation"] == expected["figures"]["validation"]
    assert facts["figures"]["rewirings"] == expected["figures"]["rewirings"] > 1
    timeless = [[without_time(line) for line in text.splitlines()] for text in (log, read_log(whole))]
    assert timeless[0] == timeless[1]


def read_log(model: Path) -> str:
    return (model / "log" / "metrics.jsonl").read_text()


def without_time(line: str) -> dict[str, Any]:
    varying = ("documents_per_second", "memory_bytes")
    return {key: value for key, value in json.loads(line).items() if key not in varying}


def wait_for_step(workplace: Workplace, step: int, process: "subprocess.Popen[bytes]") -> None:
    """Wait until there is a checkpoint at or after `step`."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "the training ended before it could be killed"
        for path in workplace.store.glob(".scratch/model-*/checkpoint-*"):
            if int(path.name.split("-")[1]) >= step:
                return
        time.sleep(0.01)
    raise AssertionError(f"no checkpoint at step {step}")
