"""Signals that users, terminals and batch systems send: exit codes, what is printed, and what is left."""

import json
import signal
import time
from pathlib import Path

import pytest

from tests.pipeline.forks import Fork
from tests.pipeline.kills.stores import SHORT, contents, leftovers
from tests.pipeline.places import TIMEOUT, Workplace, settings
from xmcpipe.artifacts.store import Store

TRAIN = ["train", "--recipe", "tiny.toml", *settings([*SHORT, "train.log_every=1"])]

# After these many steps, a step that takes longer than a test waits.
LONG_STEP = """
import time
from pathlib import Path
from xmcpipe.training.trainer import Trainer
step = Trainer.step
def long_step(self, group):
    if self.progress.step == 3:
        Path("in-step").touch()
        time.sleep(200)
    return step(self, group)
Trainer.step = long_step
"""

# The signal reaches a training that goes on for a while, however fast the machine is.
SLOW_STEPS = """
import time
from xmcpipe.training.trainer import Trainer
step = Trainer.step
def slow_step(self, group):
    time.sleep(0.05)
    return step(self, group)
Trainer.step = slow_step
"""

# The stage has written its files, and is in the middle of hashing them.
LONG_STAGE = """
import time
from pathlib import Path
from xmcpipe.artifacts.store import Store
def seal(self, building, manifest, rows):
    Path("in-stage").touch()
    time.sleep(200)
Store.seal = seal
"""


def wait_for(condition: Path, process: Fork) -> None:
    """Wait until a file exists."""
    deadline = time.monotonic() + TIMEOUT
    while not condition.exists():
        assert process.is_running, process.finish(1).stderr
        assert time.monotonic() < deadline, f"no {condition}"
        time.sleep(0.01)


def wait_for_line(store: Path, step: int, process: Fork) -> None:
    """Wait until the log of a training has a line of at least this step."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        assert process.is_running, process.finish(1).stderr
        for log in store.glob(".scratch/model-*/log/metrics.jsonl"):
            if any(f'"step": {number},' in log.read_text() for number in range(step, step + 20)):
                return
        time.sleep(0.01)
    raise AssertionError(f"no step {step}")


@pytest.mark.slow
def test_a_training_that_is_ended_by_signals_goes_on_to_the_same_result(workplace: Workplace) -> None:
    """No checkpoint is due within these seconds: those that are found were written because of the signal."""
    workplace.call(*TRAIN)
    (model,) = (path for path in workplace.store.glob("model/*") if steps_of(path) == 62)
    reference = contents(workplace.store)
    model.rename(workplace.folder / "reference")
    numbers = [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT]
    for step, number in zip((3, 20, 30, 40), numbers, strict=True):
        process = workplace.start(*TRAIN, patch=SLOW_STEPS)
        wait_for_line(workplace.store, step, process)
        process.send(number)
        if number in (signal.SIGTERM, signal.SIGHUP):
            process.send(number)  # again, as some senders do
        ended = process.finish(TIMEOUT)
        assert ended.returncode == 128 + number, ended.stderr
        last = ended.stderr.splitlines()[-1]
        assert last.startswith(f"stopped by {number.name}: the training has a checkpoint at step ")
        assert last.endswith(f"to go on, run the same command again: xmcpipe {' '.join(TRAIN)}")
        reached = int(last.split(" at step ")[1].split(" of 62;")[0])
        assert reached >= step
        (attempt,) = Store(workplace.store).attempts()
        assert not attempt.running
        assert list(attempt.scratch.glob(f"checkpoint-{reached:09d}-*"))
        assert not list(workplace.store.glob(".building/*"))
    assert "resuming at step" in workplace.call(*TRAIN).stderr
    assert contents(workplace.store) == reference
    assert leftovers(workplace.store) == []


def steps_of(model: Path) -> int:
    return int(json.loads((model / "model.json").read_text())["figures"]["steps"])


def test_a_second_interrupt_stops_a_training_at_once(workplace: Workplace) -> None:
    process = workplace.start(*TRAIN, patch=LONG_STEP)
    wait_for(workplace.folder / "in-step", process)
    for number in (signal.SIGTERM, signal.SIGTERM):  # a batch system doesn't mean it when it repeats itself
        process.send(number)
    time.sleep(0.2)
    assert process.is_running
    process.send(signal.SIGINT)
    ended = process.finish(100)  # the step would take longer
    assert ended.returncode == 130
    assert "Traceback" not in ended.stderr
    assert "stopped by SIGINT" in ended.stderr.splitlines()[-1]
    assert not list(workplace.store.glob(".building/*"))


@pytest.mark.parametrize("stage", ["download", "tokenize", "cluster", "predict", "eval"])
def test_a_stage_that_is_ended_leaves_nothing(workplace: Workplace, stage: str) -> None:
    before = contents(workplace.store)
    process = workplace.start(stage, "--recipe", "tiny.toml", "--force", patch=LONG_STAGE)
    wait_for(workplace.folder / "in-stage", process)
    process.send(signal.SIGHUP, group=True)
    ended = process.finish(100)
    assert ended.returncode == 129
    assert "Traceback" not in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("stopped by SIGHUP: to go on, run the same command again")
    assert leftovers(workplace.store) == [] or stage == "download"
    assert contents(workplace.store) == before


def test_gc_keeps_what_a_run_reads(workplace: Workplace) -> None:
    process = workplace.start(*TRAIN, patch=LONG_STEP)
    wait_for(workplace.folder / "in-step", process)
    kept = workplace.call("gc", "--all", "--yes").stderr
    assert kept.count("kept: a process uses it") == 3  # shards, clusters, and the training's scratch folder
    assert len(list(Store(workplace.store).all("shards"))) == 1
    assert list(Store(workplace.store).all("metrics")) == []
    process.send(signal.SIGKILL)
    process.finish(TIMEOUT)
    workplace.call("gc", "--all", "--yes")
    assert list(Store(workplace.store).all()) == []
