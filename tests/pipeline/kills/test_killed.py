"""Killed processes: they leave no artifact, and a killed training continues with the same result."""

import json
import shutil
import signal
from pathlib import Path

import pytest

from tests.pipeline.kills.stores import SHORT, contents, wait_for_step
from tests.pipeline.places import LIGHT, TIMEOUT, Workplace, settings

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
Store.seal = die
"""


@pytest.mark.parametrize("stage", list(KINDS))
def test_a_stage_killed_before_it_is_done_leaves_no_artifact(workplace: Workplace, stage: str) -> None:
    kind = KINDS[stage]
    whole = next((workplace.store / kind).glob("*"))
    before = sorted(path.name for path in whole.rglob("*"))
    shutil.rmtree(whole)
    killed = workplace.start(stage, "--recipe", "tiny.toml", patch=KILL_UNPUBLISHED).finish(TIMEOUT)
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
    killed = place.start(*arguments, patch=KILL_UNPUBLISHED).finish(TIMEOUT)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not list(place.store.glob("raw/*"))
    assert list(place.store.glob(".building/raw.*/train.parquet"))
    place.call(*arguments)
    assert len(list(place.store.glob("raw/*/manifest.json"))) == 1


STARTED = ["train.start_from=old"]


@pytest.mark.parametrize(
    "lines",
    [[], pytest.param(LIGHT, marks=pytest.mark.slow), pytest.param(STARTED, marks=pytest.mark.slow)],
    ids=["paper", "light", "started from a model"],
)
def test_a_killed_training_continues_with_the_same_result(workplace: Workplace, lines: list[str]) -> None:
    """Weights, topology, figures and log of a run that was killed twice equal those of one that was not."""
    shutil.copytree(next(workplace.store.glob("model/*")), workplace.folder / "old")
    shutil.rmtree(workplace.store / "model")
    train = ["train", "--recipe", "tiny.toml", *settings([*SHORT, *lines])]
    workplace.call(*train)
    reference = contents(workplace.store)
    assert sum(name.endswith(".safetensors") for name in reference) == 2  # the layer, and the encoder
    (model,) = workplace.store.glob("model/*")
    assert json.loads((model / "model.json").read_text())["figures"]["rewirings"] > 1
    shutil.rmtree(model)
    for step in (9, 25):  # with and without the auxiliary branch
        process = workplace.start(*train, "--set", "train.checkpoint_minutes=0.0")
        wait_for_step(workplace.store, step, process)
        process.send(signal.SIGKILL)
        process.finish(TIMEOUT)
        assert not list(workplace.store.glob("model/*"))
    # How often checkpoints are written is no part of what is trained, and in no file of the model.
    workplace.call(*train, "--set", "train.checkpoint_minutes=0.0", "--set", "train.device=cpu")
    assert contents(workplace.store) == reference
