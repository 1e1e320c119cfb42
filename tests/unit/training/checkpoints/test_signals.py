"""A training that a signal ends has a checkpoint of that moment, and goes on to the same bits."""

import json
import math
import signal
from pathlib import Path

import pytest

from tests.unit.training.runs import LIGHT, make, same_bits, states
from xmcpipe.signals import Interrupted
from xmcpipe.training import checkpoint
from xmcpipe.training.checkpoint import Pace
from xmcpipe.training.trainer import Trainer

# 3 batches of training documents and one of validation an epoch; the last epoch is cut short.
SETTINGS = {**LIGHT, "validation": 0.25, "max_steps": 8, "log_every": 2}


def logged(folder: Path) -> list[dict[str, object]]:
    rows = [json.loads(line) for line in (folder / "log" / "metrics.jsonl").read_text().splitlines()]
    varying = ("documents_per_second", "memory_bytes")
    return [{key: value for key, value in row.items() if key not in varying} for row in rows]


def fit(trainer: Trainer, monkeypatch: pytest.MonkeyPatch, end_at: int = 0) -> int:
    """Train; a signal has arrived when the trainer looks for the `end_at`-th time. Returns its looks."""
    looks = 0

    def requested() -> int | None:
        nonlocal looks
        looks += 1
        return signal.SIGTERM if looks == end_at else None

    monkeypatch.setattr("xmcpipe.training.trainer.requested", requested)
    trainer.fit()
    return looks


@pytest.fixture
def whole(shards: Path, tiny_encoder: Path, tmp_path: Path) -> Trainer:
    return make(shards, tiny_encoder, tmp_path / "whole", dropout=0.1, **SETTINGS)


def test_it_goes_on_from_where_it_was(
    whole: Trainer, shards: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = fit(whole, monkeypatch)
    assert looks == 8 + 3  # before each step, and before each batch of an evaluation
    scratch = tmp_path / "ended"
    # Before a step, before the first evaluation, before the last one.
    for look, step, position in ((2, 1, 1), (3, 3, 3), (8, 8, 2)):
        trainer = make(shards, tiny_encoder, scratch, dropout=0.1, **SETTINGS)
        with pytest.raises(Interrupted, match=f"the training has a checkpoint at step {step} of 8"):
            fit(trainer, monkeypatch, end_at=look)
        progress = checkpoint.read_progress(checkpoint.newest_first(scratch)[0])
        assert (progress.step, progress.position) == (step, position)
    trainer = make(shards, tiny_encoder, scratch, dropout=0.1, **SETTINGS)
    fit(trainer, monkeypatch)
    expected, found = states(whole), states(trainer)
    assert found.keys() == expected.keys()
    assert all(same_bits(found[name], tensor) for name, tensor in expected.items())
    assert trainer.progress.evaluations == whole.progress.evaluations
    assert logged(scratch) == logged(tmp_path / "whole")


def test_checkpoints_take_a_small_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    pace = Pace(seconds=50.0, minutes=1.0)
    assert pace.seconds == 50.0
    now += 1.0
    assert pace.due(epoch_ended=True)  # what one costs is not known yet
    assert not pace.due(epoch_ended=False)
    with pace.writing():
        now += 3.0
    now += 61.0  # 3 s are more than 3% of the time so far
    assert not pace.due(epoch_ended=False)
    assert not pace.due(epoch_ended=True)
    now += 37.0
    assert pace.due(epoch_ended=False)
    assert Pace(seconds=0.0, minutes=0.0).due(epoch_ended=False)


def test_a_signal_while_the_training_diverges_claims_no_checkpoint(
    shards: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make(shards, tiny_encoder, tmp_path, **SETTINGS)
    trainer.divergence.see(1, math.nan, True, trainer.feed.groups(0)[0])
    monkeypatch.setattr("xmcpipe.training.trainer.requested", lambda: signal.SIGTERM)
    with pytest.raises(Interrupted, match="the training is diverging, and has no checkpoint at step 0 of 8"):
        trainer._stop_if_asked()
    assert checkpoint.newest_first(tmp_path) == []
