"""A training that diverges: what it says, what it leaves out, when it ends, and what it never saves."""

import json
import logging
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.unit.training.runs import LIGHT, fit_until, make, same_bits
from xmcpipe.data.shards.files import Int64s
from xmcpipe.errors import XmcpipeError
from xmcpipe.training import checkpoint
from xmcpipe.training.divergence.watch import MOST_IN_A_ROW
from xmcpipe.training.trainer import Trainer

WILD: dict[str, Any] = {
    "encoder": {"dropout": 0.0, "lr": 1e30},
    "head": {"fan_in": 6, "bias": True, "lr": 1e30},
    "warmup_steps": 0,
}
MODES = pytest.mark.parametrize("changes", [{}, LIGHT], ids=["paper", "light"])


def spoil_losses(trainer: Trainer, steps: set[int], patch: pytest.MonkeyPatch) -> None:
    """Multiply the loss of these steps, counted from 1, with NaN."""
    losses = trainer.gradient_step.losses

    def spoiled(*arguments: Any) -> Any:
        main, auxiliary, weight = losses(*arguments)
        factor = float("nan") if trainer.progress.step + 1 in steps else 1.0
        return main * factor, auxiliary, weight

    patch.setattr(trainer.gradient_step, "losses", spoiled)


def test_one_bad_step_is_named_and_its_update_left_out(
    shards: Path,
    tiny_encoder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "xmcpipe")
    trainer = make(shards, tiny_encoder, tmp_path, rewire={"interval": 0}, log_every=1)
    spoil_losses(trainer, {5}, monkeypatch)
    step, weights = trainer.step, []

    def watched(group: list[Int64s]) -> float:
        loss = step(group)
        weights.append(trainer.model.head.weight.detach().clone())
        return loss

    monkeypatch.setattr(trainer, "step", watched)
    trainer.fit()
    same = [same_bits(one, other) for one, other in pairwise(weights)]
    assert [place for place, each in enumerate(same) if each] == [3]  # step 5, the fifth, changed nothing
    (line,) = (record.getMessage() for record in caplog.records)
    assert line.startswith("warning: the loss is nan at step 5, in a batch of 16 documents (")
    assert line.endswith(
        "its update is left out (lower train.encoder.lr, now 1e-05 or train.head.lr, now 0.01)"
    )
    rows = [json.loads(row) for row in (tmp_path / "log" / "metrics.jsonl").read_text().splitlines()]
    logged = [row["step"] for row in rows if row["kind"] == "train"]
    assert logged == [number for number in range(1, 17) if number != 5]


def test_a_gradient_that_is_not_finite_is_left_out_too(
    shards: Path, tiny_encoder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = make(shards, tiny_encoder, tmp_path, max_steps=1)
    before = trainer.model.head.weight.detach().clone()
    weight: Any = trainer.model.head.weight
    weight.register_hook(lambda gradient: gradient * float("inf"))
    trainer.fit()
    assert same_bits(trainer.model.head.weight.detach(), before)
    assert "the gradient is not finite at step 1" in caplog.text


@MODES
def test_some_in_a_row_end_the_training_and_keep_the_last_good_checkpoint(
    shards: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    settings = {**changes, "checkpoint_minutes": 0.0}
    trainer = make(shards, tiny_encoder, tmp_path, **settings)
    spoil_losses(trainer, {*range(6, 20)}, monkeypatch)
    with pytest.raises(XmcpipeError, match=f"diverged: the loss is nan at step {5 + MOST_IN_A_ROW}, in"):
        trainer.fit()
    newest = checkpoint.newest_first(tmp_path)[0]
    assert checkpoint.read_progress(newest).step == 5
    assert checkpoint.fault(newest) is None
    resumed = make(shards, tiny_encoder, tmp_path, **settings)
    resumed.fit()  # the fault is gone, and nothing of it is left
    assert all(torch.isfinite(parameter).all() for parameter in resumed.model.parameters())


@MODES
@pytest.mark.parametrize("validation", [0.0, 0.25])
def test_a_last_step_that_diverges_is_never_saved(
    shards: Path, tiny_encoder: Path, tmp_path: Path, changes: dict[str, Any], validation: float
) -> None:
    head = {**WILD["head"], **changes.get("head", {}), "lr": 1e30}
    settings = {**changes, **WILD, "head": head, "max_steps": 1, "validation": validation}
    trainer = make(shards, tiny_encoder, tmp_path, **settings)
    with pytest.raises(XmcpipeError, match=r"diverged: after step 1 .* is not finite.*lower train"):
        trainer.fit()
    assert checkpoint.newest_first(tmp_path) == []


def test_the_check_before_a_checkpoint_changes_no_result(
    shards: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It draws no random number and leaves dropout on."""

    def weights(name: str, minutes: float) -> dict[str, Tensor]:
        torch.manual_seed(0)
        trainer = make(shards, tiny_encoder, tmp_path / name, dropout=0.1, checkpoint_minutes=minutes)
        with monkeypatch.context() as patch:
            fit_until(trainer, 7, patch)
        return {key: tensor.clone() for key, tensor in trainer.model.state_dict().items()}

    often, seldom = weights("often", 0.0), weights("seldom", 1e9)
    assert all(same_bits(often[name], tensor) for name, tensor in seldom.items())
