"""What one step does: accumulation equals the large batch, the auxiliary branch goes, moments restart."""

import copy

import numpy as np
import pytest
import torch

from tests.unit.training.runs import CLUSTERS, LABELS, LIGHT, make
from xmcpipe.ops.layer import Positives
from xmcpipe.training.gradients import Fork


@pytest.mark.parametrize("loss", ["squared_hinge", "bce"])
def test_accumulation_equals_the_large_batch(shards, tiny_encoder, tmp_path, loss):
    whole = make(shards, tiny_encoder, tmp_path / "a", loss=loss)
    parts = make(shards, tiny_encoder, tmp_path / "b", loss=loss)
    rows = np.arange(40)
    whole.model.train(), parts.model.train()
    optimizers = [trainer.updates.optimizers for trainer in (whole, parts)]
    for pair in optimizers:  # plain SGD keeps the gradient's own scale; Adam would hide a wrong one
        for name, optimizer in pair.items():
            pair[name] = torch.optim.SGD([p for g in optimizer.param_groups for p in g["params"]], lr=1.0)
    one = whole._step([rows])
    many = parts._step([rows[:16], rows[16:23], rows[23:]])
    assert one == pytest.approx(many, rel=1e-5)
    for (name, left), right in zip(whole.model.named_parameters(), parts.model.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-6, msg=name)


def test_the_total_loss_is_the_weighted_sum_of_main_and_auxiliary(shards, tiny_encoder, tmp_path):
    """(1 - s) * main + s * auxiliary; the latter BCE, mean over B x C, against the set of clusters."""
    trainer = make(shards, tiny_encoder, tmp_path)
    trainer.model.train()
    trainer.progress.step = 3
    s = trainer.auxiliary_weight
    assert 0 < s < 0.4
    batch = trainer.feed.batch(np.arange(12))
    rows, labels = batch.positives.rows, batch.positives.labels
    # Each document once more with another label of the same cluster: the target is a set.
    twice = Positives.of(torch.cat([rows, rows]), torch.cat([labels, (labels + 4) % LABELS]))
    embedding = trainer.model.embed(batch.input_ids, batch.mask)
    scores = trainer.model.auxiliary(embedding)
    target = torch.zeros_like(scores)
    for row, label in zip(rows.tolist(), labels.tolist(), strict=True):
        target[row, label % 4] = 1.0
    probability = torch.sigmoid(scores)
    expected = -(target * probability.log() + (1 - target) * (1 - probability).log()).mean()
    for positives in (batch.positives, twice):
        found = trainer.model.auxiliary.loss(embedding, positives.rows, CLUSTERS[positives.labels])
        torch.testing.assert_close(found, expected)
    fork = Fork(trainer.model.dropout(trainer._embed(batch)))
    main, auxiliary, weight = trainer._losses(fork, batch, 12)
    assert weight == s
    torch.testing.assert_close(auxiliary, expected)
    seen = []
    backward = torch.autograd.backward

    def watched(total, *gradients):  # the encoder's own comes with gradients
        seen.extend([] if gradients else [float(total.detach())])
        backward(total, *gradients)

    torch.autograd.backward = watched
    try:
        trainer._step([np.arange(12)])
    finally:
        torch.autograd.backward = backward
    assert seen == pytest.approx([float(((1 - s) * main + s * expected).detach())], rel=1e-5)


def test_the_auxiliary_branch_is_gone_after_its_cutoff(shards, tiny_encoder, tmp_path):
    trainer = make(shards, tiny_encoder, tmp_path)
    weights = []
    step = trainer._step

    def watched(group):
        weights.append((trainer.auxiliary_weight, trainer.model.auxiliary is not None))
        return step(group)

    trainer._step = watched
    trainer.fit()
    epochs = np.arange(16) / 4
    expected = np.where(epochs < 2, 0.2 * (1 + np.cos(np.pi * epochs / 2)), 0.0)
    np.testing.assert_allclose([weight for weight, _ in weights], expected, atol=1e-12)
    assert [present for _, present in weights] == [epoch < 2 for epoch in epochs]
    assert trainer.model.auxiliary is None
    names = [group.get("name") for group in trainer.updates.optimizers["classifier"].param_groups]
    assert names == ["head", "bias"]
    held = {id(p) for p in trainer.updates.optimizers["classifier"].state}
    assert held <= {id(p) for p in trainer.model.head.parameters()}


@pytest.mark.parametrize("changes", [{}, LIGHT], ids=["paper", "light"])
def test_rewiring_happens_when_it_should_and_resets_moments(shards, tiny_encoder, tmp_path, changes):
    trainer = make(shards, tiny_encoder, tmp_path, **changes)
    head, seen = trainer.model.head, []
    rewire = trainer._rewire

    def watched(log):
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

    trainer._rewire = watched
    trainer.fit()
    assert seen == [3, 6, 9]  # of 16 steps: until 0.66 of them
    assert trainer.progress.rewirings == 3
    ordered = trainer.model.head.index.long().sort(1).values
    assert (ordered[:, 1:] > ordered[:, :-1]).all()


def test_no_rewiring_keeps_the_topology(shards, tiny_encoder, tmp_path):
    trainer = make(shards, tiny_encoder, tmp_path, rewire={"interval": 0})
    index = trainer.model.head.index.clone().int()
    trainer.fit()
    assert torch.equal(trainer.model.head.index.int(), index)


@pytest.mark.parametrize("changes", [{}, LIGHT], ids=["paper", "light"])
def test_the_best_model_by_validation_is_kept_and_patience_stops(shards, tiny_encoder, tmp_path, changes):
    trainer = make(shards, tiny_encoder, tmp_path, validation=0.25, patience=1, epochs=30, **changes)
    seen = []
    evaluate = trainer._evaluate

    def watched(log):
        evaluate(log)
        seen.append(copy.deepcopy(trainer.model.state_dict()))

    trainer._evaluate = watched
    progress = trainer.fit()
    values = [row["P@1"] for row in progress.evaluations]
    best = values.index(max(values))
    assert progress.best_value == max(values)
    assert len(values) == best + 2 or len(values) == 30
    for name, tensor in trainer.model.state_dict().items():
        if not name.startswith("auxiliary"):
            assert torch.equal(tensor.float(), seen[best][name].float()), name


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_half_precision_trains_with_a_loss_scale(shards, tiny_encoder, tmp_path, optimizer):
    """The scale starts too high for the first steps: they are skipped, it falls, and the loss does too."""
    head = {"fan_in": 6, "bias": True, "optimizer": optimizer, "lr": 0.05}
    trainer = make(shards, tiny_encoder, tmp_path, precision="float16", loss="bce", head=head, epochs=12)
    losses = []
    step = trainer._step
    trainer._step = lambda group: losses.append(step(group)) or losses[-1]
    assert trainer.updates.scaler.get_scale() == 65536.0
    trainer.fit()
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])
    assert all(torch.isfinite(parameter).all() for parameter in trainer.model.parameters())


def test_a_loss_that_is_not_finite_stops_with_a_line(shards, tiny_encoder, tmp_path):
    from xmcpipe.errors import XmcpipeError

    trainer = make(shards, tiny_encoder, tmp_path)
    trainer.model.head.weight.data.fill_(float("nan"))
    with pytest.raises(XmcpipeError, match="the loss is nan at step 1"):
        trainer.fit()
