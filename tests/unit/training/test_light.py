"""memory = "light": in float32 it trains as "paper" with SGD does; in bfloat16 it stores nothing large."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.training.runs import HEAD, LIGHT, light, make, recorded_losses, same_bits, states
from xmcpipe.config import from_table
from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling import tensors
from xmcpipe.ops.rounding import FLOAT8, decoded
from xmcpipe.training.config import TrainConfig, TrainTable
from xmcpipe.training.trainer import Trainer

OFF = {"weight": 0.0}


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_in_float32_it_trains_as_the_paper_mode_with_sgd(
    shards: Path, tiny_encoder: Path, tmp_path: Path, momentum: float
) -> None:
    """AdamW for the encoder, SGD for the head, one rewiring: two implementations of the same training."""
    head = {**HEAD, "momentum": momentum, "bias": momentum == 0.0}  # with "light" a bias has no momentum
    common: dict[str, Any] = {
        "precision": "float32",
        "loss": "bce",
        "head": head,
        "auxiliary": OFF,
        "epochs": 2,
    }
    found = {}
    for memory in ("paper", "light"):
        trainer = make(shards, tiny_encoder, tmp_path / memory, memory=memory, **common)
        start = copy.deepcopy(trainer.model.state_dict())
        trainer.fit()
        assert trainer.progress.rewirings == 1
        found[memory] = trainer.model.state_dict()
    assert torch.equal(found["light"].pop("head.index").int(), found["paper"]["head.index"].int())
    for name, tensor in found["light"].items():
        # Compare norms: Adam makes full steps from gradients that consist of rounding errors only.
        moved = (found["paper"][name] - start[name]).norm()
        if "key.bias" not in name:  # softmax doesn't depend on it
            assert (tensor - found["paper"][name]).norm() <= 1e-3 * moved, name
        assert moved > 0 or "pooler" in name


def test_weights_are_half_and_no_gradient_is_left(shards: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    trainer = make(shards, tiny_encoder, tmp_path, **LIGHT)
    model = trainer.model
    assert {p.dtype for p in model.encoder.parameters()} == {torch.bfloat16}
    assert model.auxiliary is not None
    assert model.head.bias is not None
    assert model.auxiliary.weight.dtype == model.head.weight.dtype == torch.bfloat16
    assert model.head.bias.dtype == torch.float32
    before = states(trainer)
    trainer.model.train()
    trainer.step([np.arange(16)])
    assert all(parameter.grad is None for parameter in model.parameters())
    after = states(trainer)
    for name in ("head.weight", "head.bias", "auxiliary.weight", "encoder.embeddings.word_embeddings.weight"):
        assert not torch.equal(before[name], after[name]), name
    stored = trainer.updates.tensors()
    assert stored["momentum"].dtype == torch.bfloat16
    assert {name.split(".")[-1] for name in stored} == {
        "exp_avg",
        "exp_avg_sq",
        "kahan_comp",
        "step",
        "momentum",
    }


def test_weights_of_8_bits(shards: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    """They take a byte each, learn, are rewired, and are saved and read with the same bits."""
    changes = {**LIGHT, "head": {**HEAD, "weight_dtype": "float8"}}
    trainer = make(shards, tiny_encoder, tmp_path, **changes)
    head = trainer.model.head
    assert (head.weight.dtype, head.weight.element_size()) == (FLOAT8, 1)
    assert trainer.updates.moments()[0].dtype == torch.bfloat16
    first = decoded(head.weight.detach()).clone()
    assert 0.8 < float(first.std()) * 8**0.5 < 1.2  # 1 / sqrt(K), rounded
    losses = recorded(trainer)
    assert np.mean(losses[-4:]) < 0.7 * np.mean(losses[:4])
    assert trainer.progress.rewirings > 1
    tensors.save(tmp_path / "head.safetensors", {"weight": head.weight})
    file = tensors.TensorFile(tmp_path / "head.safetensors")
    assert same_bits(file.read("weight"), head.weight.detach())
    with pytest.raises(XmcpipeError, match="expected BF16, got F8_E4M3"):
        file.read_into("weight", torch.empty(head.weight.shape, dtype=torch.bfloat16))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"head": {"weight_dtype": "float8"}}, "expected memory = 'light'"),
        ({"memory": "light", "head": {"weight_dtype": "float8", "fan_in": 7}}, "expected an even fan_in"),
        ({"head": {"weight_dtype": "float4"}}, "float8"),
    ],
)
def test_where_8_bits_are_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(XmcpipeError, match=message):
        from_table(TrainTable, table, "train")


def recorded(trainer: Trainer) -> list[float]:
    with pytest.MonkeyPatch.context() as patch:
        return recorded_losses(trainer, patch)


def test_without_momentum_the_head_has_no_state(shards: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    trainer = make(shards, tiny_encoder, tmp_path, **{**LIGHT, "head": {**HEAD, "momentum": 0.0}})
    trainer.fit()
    assert trainer.updates.moments() == []
    assert not [
        name
        for name, tensor in trainer.updates.tensors().items()
        if tensor.shape == trainer.model.head.weight.shape
    ]


def test_gradients_are_freed_during_backward(shards: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    """When a parameter's gradient is computed, no other gradient exists."""
    trainer = make(shards, tiny_encoder, tmp_path, **LIGHT)
    parameters = list(trainer.model.parameters())
    alive: list[int] = []
    for parameter in parameters:
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                lambda _: alive.append(sum(p.grad is not None for p in parameters))
            )
    trainer.model.train()
    trainer.step([np.arange(16)])
    assert len(alive) > 20
    assert max(alive) <= 1


def test_a_small_step_is_not_lost(shards: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    """Plain bfloat16 would lose all steps that are far below the last place of a weight."""
    encoder = {"dropout": 0.0, "lr": 1e-5}
    changes: dict[str, Any] = {"warmup_steps": 0, "epochs": 12, "encoder": encoder, "auxiliary": OFF}
    ends = {}
    for precision in ("float32", "bfloat16"):
        trainer = make(
            shards, tiny_encoder, tmp_path / precision, **{**LIGHT, **changes, "precision": precision}
        )
        # The value of a weight is the stored one plus its compensation.
        start = trainer.model.encoder.encoder.layer[0].output.dense.weight.detach().clone().float()
        trainer.fit()
        weight = trainer.model.encoder.encoder.layer[0].output.dense.weight
        optimizer = light(trainer).optimizer
        assert optimizer is not None
        compensation = optimizer.state[weight].get("kahan_comp")
        rest = 0.0 if compensation is None else compensation.float()
        ends[precision] = weight.detach().float() + rest - start
    one, other = (end.flatten() for end in ends.values())
    assert torch.corrcoef(torch.stack([one, other]))[0, 1] > 0.5
    assert 0.5 < other.abs().mean() / one.abs().mean() < 2.0


def test_the_auxiliary_branch_is_freed_after_its_cutoff(
    shards: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    trainer = make(shards, tiny_encoder, tmp_path, **LIGHT)
    optimizer = light(trainer).optimizer
    assert optimizer is not None
    count = len(optimizer.state)
    trainer.fit()
    assert trainer.model.auxiliary is None
    assert len(optimizer.state) == count - 2
    assert [group["name"] for group in optimizer.param_groups if "name" in group] == []


def test_a_frozen_encoder_still_trains_the_head(shards: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    trainer = make(shards, tiny_encoder, tmp_path, frozen=True, **{**LIGHT, "auxiliary": OFF})
    before = states(trainer)
    trainer.fit()
    changed = {
        name
        for name, tensor in states(trainer).items()
        if not torch.equal(tensor.float(), before[name].float())
    }
    assert changed == {"head.weight", "head.bias", "head.index", "momentum"}


def test_it_learns(shards: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an intermediate layer, recomputed activations and rewiring."""
    encoder = {"dropout": 0.0, "lr": 3e-3, "checkpointing": True}
    head = {**HEAD, "intermediate": 48, "intermediate_lr": 3e-3}
    trainer = make(
        shards, tiny_encoder, tmp_path, **{**LIGHT, "encoder": encoder, "head": head, "epochs": 20}
    )
    losses = recorded_losses(trainer, monkeypatch)
    assert trainer.progress.rewirings > 3
    assert np.mean(losses[-4:]) < 0.6 * np.mean(losses[:4])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"head": {"kind": "dense", "optimizer": "sgd"}},
            r"expected head\.kind = 'ffi' with memory = 'light', got head\.kind = 'dense'",
        ),
        (
            {},
            r"optimizer = 'sgd' with.*got head\.optimizer = 'adamw': change it, or set memory = 'paper'",
        ),
        ({"encoder": {"optimizer": "sgd"}, "head": {"optimizer": "sgd"}}, r"got encoder\.optimizer = 'sgd'"),
        (
            {"encoder": {"max_grad_norm": 1.0}, "head": {"optimizer": "sgd"}},
            r"max_grad_norm = 0\.0 with.*got encoder\.max_grad_norm = 1\.0",
        ),
        ({"accumulation": 2, "head": {"optimizer": "sgd"}}, r"accumulation = 1 with.*got accumulation = 2"),
        (
            {"precision": "float16", "head": {"optimizer": "sgd"}},
            r"expected precision = 'bfloat16' or 'float32'",
        ),
    ],
)
def test_settings_that_it_does_not_support_are_errors(table: dict[str, Any], message: str) -> None:
    with pytest.raises(XmcpipeError, match=message):
        from_table(TrainConfig, {"memory": "light", **table}, "train")
    from_table(TrainConfig, table, "train")  # memory = "paper" supports them
