"""A training's steps: accumulation, the auxiliary branch, rewiring, the best model, loss scaling."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.unit.training.runs import CLUSTERS, LABELS, LIGHT, make, paper, recorded_losses
from xmcpipe.data.shards.files import Int64s
from xmcpipe.ops.layer import Positives
from xmcpipe.training.gradients import SplitEmbedding
from xmcpipe.training.log import MetricsLog
from xmcpipe.training.trainer import Trainer


@pytest.mark.parametrize("loss", ["squared_hinge", "bce"])
def test_accumulation_equals_the_large_batch(
    shards: Path, tiny_encoder: Path, tmp_path: Path, loss: str
) -> None:
    whole = make(shards, tiny_encoder, tmp_path / "a", loss=loss)
    parts = make(shards, tiny_encoder, tmp_path / "b", loss=loss)
    rows = np.arange(40)
    whole.model.train(), parts.model.train()
    # Plain SGD, because Adam divides by the gradient's scale and would hide a wrong one.
    for optimizers in (paper(trainer).named_optimizers for trainer in (whole, parts)):
        for name, optimizer in optimizers.items():
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            optimizers[name] = torch.optim.SGD(parameters, lr=1.0)
    one = whole.gradient_step.run([rows], whole.auxiliary_weight, False)
    many = parts.gradient_step.run([rows[:16], rows[16:23], rows[23:]], parts.auxiliary_weight, False)
    assert one == pytest.approx(many, rel=1e-5)
    for (name, left), right in zip(whole.model.named_parameters(), parts.model.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-6, msg=name)


def test_the_total_loss_is_the_weighted_sum_of_main_and_auxiliary(
    shards: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(1 - s) * main + s * auxiliary; the latter is BCE against the set of clusters, a mean over B x C."""
    trainer = make(shards, tiny_encoder, tmp_path)
    trainer.model.train()
    trainer.progress.step = 3
    s = trainer.auxiliary_weight
    assert 0 < s < 0.4
    batch = trainer.feed.batch(np.arange(12))
    rows, labels = batch.positives.rows, batch.positives.labels
    # Each document has a second label in the same cluster: the target is a set, so nothing changes.
    twice = Positives.of(torch.cat([rows, rows]), torch.cat([labels, (labels + 4) % LABELS]))
    branch = trainer.model.auxiliary
    assert branch is not None
    embedding = trainer.gradient_step.embed(batch)
    scores = branch(embedding)
    target = torch.zeros_like(scores)
    for row, label in zip(rows.tolist(), labels.tolist(), strict=True):
        target[row, label % 4] = 1.0
    probability = torch.sigmoid(scores)
    expected = -(target * probability.log() + (1 - target) * (1 - probability).log()).mean()
    for positives in (batch.positives, twice):
        found = branch.loss(embedding, positives.rows, CLUSTERS[positives.labels])
        torch.testing.assert_close(found, expected)
    split = SplitEmbedding(trainer.model.dropout(trainer.gradient_step.embed(batch)))
    main, auxiliary, weight = trainer.gradient_step.losses(split, batch, 12, s)
    assert isinstance(auxiliary, Tensor)
    assert weight == s
    torch.testing.assert_close(auxiliary, expected)
    seen: list[float] = []
    backward = torch.autograd.backward

    def watched(total: Tensor, *gradients: Any) -> None:  # the call for the encoder passes gradients
        seen.extend([] if gradients else [float(total.detach())])
        backward(total, *gradients)

    monkeypatch.setattr(torch.autograd, "backward", watched)
    trainer.gradient_step.run([np.arange(12)], s, False)
    assert seen == pytest.approx([float(((1 - s) * main + s * expected).detach())], rel=1e-5)


def test_the_auxiliary_branch_is_dropped_at_its_cutoff(
    shards: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    weights: list[tuple[float, bool]] = []

    class Meter:
        @contextmanager
        def watch(self, trainer: Trainer, group: list[Int64s]) -> Iterator[None]:
            weights.append((trainer.auxiliary_weight, trainer.model.auxiliary is not None))
            yield

    trainer = make(shards, tiny_encoder, tmp_path)
    trainer.meter = Meter()
    trainer.fit()
    epochs = np.arange(16) / 4
    expected = np.where(epochs < 2, 0.2 * (1 + np.cos(np.pi * epochs / 2)), 0.0)
    np.testing.assert_allclose([weight for weight, _ in weights], expected, atol=1e-12)
    assert [present for _, present in weights] == [epoch < 2 for epoch in epochs]
    assert trainer.model.auxiliary is None
    optimizer = paper(trainer).named_optimizers["classifier"]
    assert [group.get("name") for group in optimizer.param_groups] == ["head", "bias"]
    assert {id(p) for p in optimizer.state} <= {id(p) for p in trainer.model.head.parameters()}


@pytest.mark.parametrize("changes", [{}, LIGHT], ids=["paper", "light"])
def test_rewiring_happens_when_it_should_and_resets_moments(
    shards: Path,
    tiny_encoder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
) -> None:
    trainer = make(shards, tiny_encoder, tmp_path, **changes)
    head, rewire = trainer.model.head, trainer._rewire
    seen: list[int] = []

    def watched(log: MetricsLog) -> None:
        index, before = head.index.clone().int(), trainer.progress.rewirings
        rewire(log)
        changed = head.index.int() != index
        assert bool(changed.any()) == (trainer.progress.rewirings > before)
        if changed.any():
            seen.append(trainer.progress.step)
            assert (head.weight[changed] == 0).all()
            assert len(trainer.updates.moments()) == (1 if changes else 2)
            for moment in trainer.updates.moments():
                assert (moment[changed] == 0).all()
                assert (moment[~changed] != 0).any()

    monkeypatch.setattr(trainer, "_rewire", watched)
    trainer.fit()
    assert seen == [3, 6, 9]  # of 16 steps, of which 0.66 may rewire
    assert trainer.progress.rewirings == 3
    ordered = trainer.model.head.index.long().sort(1).values
    assert (ordered[:, 1:] > ordered[:, :-1]).all()


def test_no_rewiring_keeps_the_topology(shards: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    trainer = make(shards, tiny_encoder, tmp_path, rewire={"interval": 0})
    index = trainer.model.head.index.clone().int()
    trainer.fit()
    assert torch.equal(trainer.model.head.index.int(), index)


@pytest.mark.parametrize("changes", [{}, LIGHT], ids=["paper", "light"])
def test_the_best_model_by_validation_is_restored_and_patience_stops(
    shards: Path,
    tiny_encoder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
) -> None:
    trainer = make(shards, tiny_encoder, tmp_path, validation=0.25, patience=1, epochs=30, **changes)
    seen: list[dict[str, Tensor]] = []
    evaluate = trainer._evaluate

    def watched(log: MetricsLog) -> None:
        evaluate(log)
        seen.append(copy.deepcopy(trainer.model.state_dict()))

    monkeypatch.setattr(trainer, "_evaluate", watched)
    progress = trainer.fit()
    values = [row["P@1"] for row in progress.evaluations]
    best = values.index(max(values))
    assert progress.best_value == max(values)
    assert len(values) == best + 2 or len(values) == 30
    for name, tensor in trainer.model.state_dict().items():
        if not name.startswith("auxiliary"):
            assert torch.equal(tensor.float(), seen[best][name].float()), name


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_half_precision_trains_with_a_loss_scale(
    shards: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    """The scale is too high at first: the first steps are skipped, the scale falls, then the loss falls."""
    head = {"fan_in": 6, "bias": True, "optimizer": optimizer, "lr": 0.05}
    trainer = make(shards, tiny_encoder, tmp_path, precision="float16", loss="bce", head=head, epochs=12)
    assert trainer.updates.loss_scale == 65536.0
    losses = recorded_losses(trainer, monkeypatch)
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])
    assert all(torch.isfinite(parameter).all() for parameter in trainer.model.parameters())
