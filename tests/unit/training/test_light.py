"""The light mode: in float32 it trains as the paper mode with SGD does; in bfloat16 nothing large is kept."""

import copy

import numpy as np
import pytest
import torch

from tests.unit.training.runs import HEAD, LIGHT, make
from xmcpipe.config import from_table
from xmcpipe.errors import XmcpipeError
from xmcpipe.training.config import TrainConfig

OFF = {"weight": 0.0}


def states(trainer):
    """The model's tensors and what the updates keep, copied."""
    kept = {**trainer.model.state_dict(), **trainer.updates.tensors()}
    return {name: tensor.clone() for name, tensor in kept.items()}


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_in_float32_it_trains_as_the_paper_mode_with_sgd(shards, tiny_encoder, tmp_path, momentum):
    """Encoder by AdamW, head by SGD, rewired twice: two implementations of one training."""
    head = {**HEAD, "momentum": momentum, "bias": momentum == 0.0}  # a bias has no momentum in the light mode
    common = {"precision": "float32", "loss": "bce", "head": head, "auxiliary": OFF, "epochs": 2}
    found = {}
    for memory in ("paper", "light"):
        trainer = make(shards, tiny_encoder, tmp_path / memory, memory=memory, **common)
        start = copy.deepcopy(trainer.model.state_dict())
        trainer.fit()
        assert trainer.progress.rewirings == 1
        found[memory] = trainer.model.state_dict()
    assert torch.equal(found["light"].pop("head.index").int(), found["paper"]["head.index"].int())
    for name, tensor in found["light"].items():
        # By their norms: Adam makes whole steps of gradients that are rounding errors alone.
        moved = (found["paper"][name] - start[name]).norm()
        if "key.bias" not in name:  # softmax takes no notice of it
            assert (tensor - found["paper"][name]).norm() <= 1e-3 * moved, name
        assert moved > 0 or "pooler" in name


def test_weights_are_half_and_no_gradient_is_left(shards, tiny_encoder, tmp_path):
    trainer = make(shards, tiny_encoder, tmp_path, **LIGHT)
    model = trainer.model
    assert {p.dtype for p in model.encoder.parameters()} == {torch.bfloat16}
    assert model.auxiliary.weight.dtype == model.head.weight.dtype == torch.bfloat16
    assert model.head.bias.dtype == torch.float32
    before = states(trainer)
    trainer.model.train()
    trainer._before_step()
    trainer._step([np.arange(16)])
    assert all(parameter.grad is None for parameter in model.parameters())
    after = states(trainer)
    for name in ("head.weight", "head.bias", "auxiliary.weight", "encoder.embeddings.word_embeddings.weight"):
        assert not torch.equal(before[name], after[name]), name
    kept = trainer.updates.tensors()
    assert kept["momentum"].dtype == torch.bfloat16
    assert {name.split(".")[-1] for name in kept} == {
        "exp_avg",
        "exp_avg_sq",
        "kahan_comp",
        "step",
        "momentum",
    }


def test_without_momentum_the_head_keeps_nothing(shards, tiny_encoder, tmp_path):
    trainer = make(shards, tiny_encoder, tmp_path, **{**LIGHT, "head": {**HEAD, "momentum": 0.0}})
    trainer.fit()
    assert trainer.updates.moments() == []
    assert not [
        name
        for name, kept in trainer.updates.tensors().items()
        if kept.shape == trainer.model.head.weight.shape
    ]


def test_gradients_are_freed_as_backward_goes(shards, tiny_encoder, tmp_path):
    """At no parameter's turn is another one's gradient still there."""
    trainer = make(shards, tiny_encoder, tmp_path, **LIGHT)
    parameters, alive = list(trainer.model.parameters()), []
    for parameter in parameters:
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(
                lambda _: alive.append(sum(p.grad is not None for p in parameters))
            )
    trainer.model.train()
    trainer._before_step()
    trainer._step([np.arange(16)])
    assert len(alive) > 20
    assert max(alive) <= 1


def test_a_small_step_is_not_lost(shards, tiny_encoder, tmp_path):
    """Of steps far below the last place of a weight, plain bfloat16 would make nothing."""
    encoder = {"dropout": 0.0, "lr": 1e-5}
    changes = {"warmup_steps": 0, "epochs": 12, "encoder": encoder, "auxiliary": OFF}
    ends = {}
    for precision in ("float32", "bfloat16"):
        trainer = make(
            shards, tiny_encoder, tmp_path / precision, **{**LIGHT, **changes, "precision": precision}
        )
        # The whole weights, as the compensated ones stand for them.
        start = trainer.model.encoder.encoder.layer[0].output.dense.weight.detach().clone().float()
        trainer.fit()
        weight = trainer.model.encoder.encoder.layer[0].output.dense.weight
        kept = trainer.updates.optimizer.state[weight].get("kahan_comp")
        ends[precision] = weight.detach().float() + (0.0 if kept is None else kept.float()) - start
    one, other = (end.flatten() for end in ends.values())
    assert torch.corrcoef(torch.stack([one, other]))[0, 1] > 0.5
    assert 0.5 < other.abs().mean() / one.abs().mean() < 2.0


def test_the_auxiliary_branch_is_freed_after_its_cutoff(shards, tiny_encoder, tmp_path):
    trainer = make(shards, tiny_encoder, tmp_path, **LIGHT)
    held = len(trainer.updates.optimizer.state)
    trainer.fit()
    assert trainer.model.auxiliary is None
    assert len(trainer.updates.optimizer.state) == held - 2
    assert [g["name"] for g in trainer.updates.optimizer.param_groups if "name" in g] == []


def test_a_frozen_encoder_still_trains_the_head(shards, tiny_encoder, tmp_path):
    trainer = make(shards, tiny_encoder, tmp_path, frozen=True, **{**LIGHT, "auxiliary": OFF})
    before = states(trainer)
    trainer.fit()
    changed = {
        name
        for name, tensor in states(trainer).items()
        if not torch.equal(tensor.float(), before[name].float())
    }
    assert changed == {"head.weight", "head.bias", "head.index", "momentum"}


def test_it_learns(shards, tiny_encoder, tmp_path):
    """With an intermediate layer, recomputed activations and rewiring."""
    encoder = {"dropout": 0.0, "lr": 3e-3, "checkpointing": True}
    head = {**HEAD, "intermediate": 48, "intermediate_lr": 3e-3}
    trainer = make(
        shards, tiny_encoder, tmp_path, **{**LIGHT, "encoder": encoder, "head": head, "epochs": 20}
    )
    losses = []
    step = trainer._step
    trainer._step = lambda group: losses.append(step(group)) or losses[-1]
    trainer.fit()
    assert trainer.progress.rewirings > 3
    assert np.mean(losses[-4:]) < 0.6 * np.mean(losses[:4])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"head": {"kind": "dense", "optimizer": "sgd"}}, r"head\.kind = 'dense' was given.*wants 'ffi'"),
        ({}, r"head\.optimizer = 'adamw' was given.*wants 'sgd': set it, or memory = 'paper'"),
        ({"encoder": {"optimizer": "sgd"}, "head": {"optimizer": "sgd"}}, r"encoder\.optimizer = 'sgd'"),
        (
            {"encoder": {"max_grad_norm": 1.0}, "head": {"optimizer": "sgd"}},
            r"max_grad_norm = 1\.0.*wants 0\.0",
        ),
        ({"accumulation": 2, "head": {"optimizer": "sgd"}}, r"accumulation = 2 was given.*wants 1"),
        ({"precision": "float16", "head": {"optimizer": "sgd"}}, r"wants 'bfloat16' or 'float32'"),
    ],
)
def test_what_it_can_not_do_is_refused(table, message):
    with pytest.raises(XmcpipeError, match=message):
        from_table(TrainConfig, {"memory": "light", **table}, "train")
    from_table(TrainConfig, table, "train")  # memory = "paper" can
