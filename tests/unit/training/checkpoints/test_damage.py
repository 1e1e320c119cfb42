"""Damaged checkpoints: training continues from the one before, or begins again, and ends in the same bits."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.runs import LIGHT, fit_until, make, same_bits, states
from xmcpipe.artifacts.fingerprint import sha256_of_file
from xmcpipe.artifacts.sealed import seal
from xmcpipe.errors import XmcpipeError
from xmcpipe.training import checkpoint
from xmcpipe.training.trainer import Trainer

SETTINGS = {**LIGHT, "checkpoint_minutes": 0.0, "validation": 0.2, "max_steps": 12}
KILLED_AT = 10


def flip(path: Path) -> None:
    """Flip one bit."""
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(len(data))
    data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)


def truncate(path: Path) -> None:
    """Cut a file off in the middle."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES: list[Callable[[Path], None]] = [flip, truncate, Path.unlink]


class World:
    """A training that was not killed, and the scratch folder of one that was."""

    def __init__(self, shards: Path, encoder: Path, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._shards, self._encoder, self._folder = shards, encoder, folder
        whole = self.trainer(folder / "whole")
        whole.fit()
        self._expected, self._evaluations = states(whole), whole.progress.evaluations
        self.log = _timeless(folder / "whole")
        self.killed = folder / "killed"
        fit_until(self.trainer(self.killed), KILLED_AT, patch)

    def trainer(self, scratch: Path) -> Trainer:
        return make(self._shards, self._encoder, scratch, dropout=0.1, **SETTINGS)

    def copy(self) -> Path:
        """A copy of the killed training's scratch folder."""
        scratch = self._folder / "copy"
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(self.killed, scratch)
        return scratch

    def require_same_end(self, scratch: Path) -> None:
        """Resume, and require the bits, evaluations and log of the training that was not killed."""
        resumed = self.trainer(scratch)
        resumed.fit()
        found = states(resumed)
        assert all(same_bits(found[name], tensor) for name, tensor in self._expected.items())
        assert resumed.progress.evaluations == self._evaluations
        assert _timeless(scratch) == self.log


def _timeless(scratch: Path) -> list[dict[str, object]]:
    varying = ("documents_per_second", "memory_bytes")
    lines = (scratch / "log" / "metrics.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key not in varying} for line in lines]


@pytest.fixture
def world(shards: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    with monkeypatch.context() as patch:
        return World(shards, tiny_encoder, tmp_path / "world", patch)


def test_damage_to_any_file_of_the_newest_checkpoint(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    newest = checkpoint.newest_first(world.killed)[0].name
    names = sorted(path.name for path in (world.killed / newest).iterdir())
    assert names == ["manifest.json", "metrics.jsonl", "state.json", "tensors.safetensors"]
    for name in names:
        for damage in DAMAGES:
            scratch = world.copy()
            damage(scratch / newest / name)
            assert f"{name} " in str(checkpoint.fault(scratch / newest))
        caplog.clear()
        world.require_same_end(scratch)
        (line,) = (record.getMessage() for record in caplog.records if "checkpoint" in record.getMessage())
        assert line.startswith(f"warning: {newest} is damaged ({name} ")
        assert line.endswith(f"training continues from the one before, at step {KILLED_AT - 1}")


def test_damage_to_both_checkpoints_starts_again(world: World, caplog: pytest.LogCaptureFixture) -> None:
    scratch = world.copy()
    for path in checkpoint.newest_first(scratch):
        flip(path / "tensors.safetensors")
    world.require_same_end(scratch)
    assert "no whole checkpoint is left, so training begins again" in caplog.text
    assert len(checkpoint.newest_first(scratch)) == 2


def test_a_log_that_was_changed_or_lost_is_that_of_the_checkpoint(world: World) -> None:
    for damage in DAMAGES:
        scratch = world.copy()
        damage(scratch / "log" / "metrics.jsonl")
        world.require_same_end(scratch)


def test_best_weights_that_are_damaged_are_never_used(world: World, caplog: pytest.LogCaptureFixture) -> None:
    for damage in DAMAGES:
        scratch = world.copy()
        (best,) = scratch.glob("best-*")
        damage(best)
        caplog.clear()
        world.require_same_end(scratch)  # both checkpoints refer to them
        assert "no whole checkpoint is left" in caplog.text


def test_best_weights_that_are_damaged_while_training_runs_are_an_error(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = world.copy()
    trainer = world.trainer(scratch)
    evaluate = trainer._evaluate

    def evaluate_and_damage(*arguments: object) -> None:
        evaluate(*arguments)  # type: ignore[arg-type]
        for path in scratch.glob("best-*"):
            flip(path)

    monkeypatch.setattr(trainer, "_evaluate", evaluate_and_damage)
    with pytest.raises(XmcpipeError, match=r"weights of the best evaluation, .*damaged or missing"):
        trainer.fit()
    world.require_same_end(scratch)  # begins again, and finds them whole


def test_a_checkpoint_whose_manifest_approves_an_index_out_of_range_is_an_error(world: World) -> None:
    scratch = world.copy()
    path = checkpoint.newest_first(scratch)[0]
    file = path / "tensors.safetensors"
    data = bytearray(file.read_bytes())
    length = int.from_bytes(data[:8], "little")
    begin, end = json.loads(data[8 : 8 + length])["model.head.index"]["data_offsets"]
    data[8 + length + begin : 8 + length + end] = np.random.default_rng(0).bytes(end - begin)
    file.write_bytes(data)
    files = checkpoint.read_manifest(path)
    files[file.name]["sha256"] = sha256_of_file(file)
    (path / "manifest.json").write_text(seal({"format": checkpoint.FORMAT, "files": files}))
    with pytest.raises(XmcpipeError, match=r"tensors\.safetensors: head\.index: expected .*delete"):
        world.trainer(scratch).fit()
