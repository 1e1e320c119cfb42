"""What one step does: accumulation equals the large batch, the auxiliary branch goes, moments restart."""

import copy

import numpy as np
import pytest
import torch
from test_feed import write_shards

from xmcpipe.config import from_table
from xmcpipe.training.build import build_model
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.feed import Feed
from xmcpipe.training.trainer import Trainer

CPU = torch.device("cpu")
LABELS = 40
CLUSTERS = torch.arange(LABELS) % 4


@pytest.fixture
def shards(tmp_path):
    rng = np.random.default_rng(0)
    write_shards(
        tmp_path,
        [
            (rng.integers(4, 204, rng.integers(3, 9)).tolist(), [label])
            for label in rng.integers(0, LABELS, 64)
        ],
        num_labels=LABELS,
        rows_per_shard=50,
    )
    return tmp_path


def make(shards, encoder, scratch, **changes):
    table = {
        "epochs": 4,
        "batch_size": 16,
        "warmup_steps": 2,
        "precision": "float32",
        "validation": 0.0,
        "encoder": {"dropout": 0.0},
        "head": {"fan_in": 6, "bias": True},
        "rewire": {"interval": 3, "fraction": 0.3},
        "auxiliary": {"weight": 0.4, "cutoff_epoch": 2.0},
    }
    config = from_table(TrainConfig, {**table, **changes}, "train")
    feed = Feed(shards, config, 0, CPU)
    on = config.auxiliary.weight > 0
    model = build_model(config, str(encoder), 204, feed, 4 if on else 0)
    model.encoder.config.hidden_dropout_prob = 0.0
    for module in model.encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return Trainer(config, model, feed, CLUSTERS if on else None, CPU, scratch)


@pytest.mark.parametrize("loss", ["squared_hinge", "bce"])
def test_accumulation_equals_the_large_batch(shards, tiny_encoder, tmp_path, loss):
    whole = make(shards, tiny_encoder, tmp_path / "a", loss=loss)
    parts = make(shards, tiny_encoder, tmp_path / "b", loss=loss)
    rows = np.arange(40)
    whole.model.train(), parts.model.train()
    optimizers = [trainer.optimizers for trainer in (whole, parts)]
    for pair in optimizers:  # plain SGD keeps the gradient's own scale; Adam would hide a wrong one
        for name, optimizer in pair.items():
            pair[name] = torch.optim.SGD([p for g in optimizer.param_groups for p in g["params"]], lr=1.0)
    one = whole._step([rows])
    many = parts._step([rows[:16], rows[16:23], rows[23:]])
    assert one == pytest.approx(many, rel=1e-5)
    for (name, left), right in zip(whole.model.named_parameters(), parts.model.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-6, msg=name)


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
    names = [group.get("name") for group in trainer.optimizers["classifier"].param_groups]
    assert names == ["head", "bias"]
    held = {id(p) for p in trainer.optimizers["classifier"].state}
    assert held <= {id(p) for p in trainer.model.head.parameters()}


def test_rewiring_happens_when_it_should_and_resets_moments(shards, tiny_encoder, tmp_path):
    trainer = make(shards, tiny_encoder, tmp_path)
    index = trainer.model.head.index.clone().int()
    trainer.fit()
    assert trainer.progress.rewirings == 3  # steps 3, 6, 9 of 16: until 0.66 of all steps
    changed = trainer.model.head.index.int() != index
    assert int(changed.sum()) > 0
    ordered = trainer.model.head.index.long().sort(1).values
    assert (ordered[:, 1:] > ordered[:, :-1]).all()


def test_no_rewiring_keeps_the_topology(shards, tiny_encoder, tmp_path):
    trainer = make(shards, tiny_encoder, tmp_path, rewire={"interval": 0})
    index = trainer.model.head.index.clone().int()
    trainer.fit()
    assert torch.equal(trainer.model.head.index.int(), index)


def test_the_best_model_by_validation_is_kept_and_patience_stops(shards, tiny_encoder, tmp_path):
    trainer = make(shards, tiny_encoder, tmp_path, validation=0.25, patience=1, epochs=30)
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


def test_a_loss_that_is_not_finite_stops_with_a_line(shards, tiny_encoder, tmp_path):
    from xmcpipe.errors import XmcpipeError

    trainer = make(shards, tiny_encoder, tmp_path)
    trainer.model.head.weight.data.fill_(float("nan"))
    with pytest.raises(XmcpipeError, match="the loss is nan at step 1"):
        trainer.fit()
