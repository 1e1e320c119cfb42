"""The AdamW in place of torch-optimi's: its values, its memory, and trainings where the package is absent."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.unit.training.runs import LIGHT, fit_until, light, make, states
from xmcpipe.memory.stand_ins import optimizer_kernels_on_meta
from xmcpipe.training.updates.kahan_adamw import KahanAdamW
from xmcpipe.training.updates.light import BETAS, EPS

BETAS_OF_BFLOAT16 = BETAS[torch.bfloat16]


@pytest.fixture
def without_optimi(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing optimi raises ModuleNotFoundError."""
    for name in [name for name in sys.modules if name.split(".")[0] == "optimi"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "optimi", None)


def train(optimi: bool, dtype: torch.dtype, steps: int, rate: float) -> list[Tensor]:
    """Weights, plus compensations, after some steps of a small net with decayed and plain parameters."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(24, 32), nn.Tanh(), nn.Linear(32, 4)).to(dtype)
    parameters = list(net.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "lr": rate, "weight_decay": 0.1},
        {"params": [p for p in parameters if p.dim() == 1], "lr": 2.0 * rate, "weight_decay": 0.0},
    ]
    if optimi:
        from optimi import AdamW, prepare_for_gradient_release

        settings = {"lr": rate, "betas": BETAS[dtype], "eps": EPS, "kahan_sum": True, "triton": False}
        optimizer: torch.optim.Optimizer = AdamW(groups, gradient_release=True, **settings)
        prepare_for_gradient_release(net, optimizer)
    else:
        optimizer = KahanAdamW(groups, BETAS[dtype], EPS)
    for _ in range(steps):
        features = torch.randn(64, 24)
        target = torch.stack([features[:, 0], features[:, 1] ** 2, features.sum(1), -features[:, 2]], 1)
        (net(features.to(dtype)).float() - target).square().mean().backward()
        assert all(parameter.grad is None for parameter in parameters)
    rests = [optimizer.state[parameter].get("kahan_comp") for parameter in parameters]
    return [
        p.detach().float() + (0.0 if rest is None else rest.float())
        for p, rest in zip(parameters, rests, strict=True)
    ]


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
@pytest.mark.parametrize("rate", [1e-2, 1e-5])
def test_its_values_are_those_of_optimi(dtype: torch.dtype, limit: float, rate: float) -> None:
    start = train(False, dtype, 0, rate)
    ends = {optimi: train(optimi, dtype, 12, rate) for optimi in (False, True)}
    for before, ours, theirs in zip(start, ends[False], ends[True], strict=True):
        assert (theirs - before).norm() > 0
        assert (ours - theirs).norm() <= limit * (theirs - before).norm()


def test_steps_far_below_the_last_place_add_up() -> None:
    """1,000 steps of 1e-5 from 1.0: plain bfloat16, whose neighbours are 0.004 apart, would stay at 1."""
    weight = nn.Parameter(torch.ones(8, dtype=torch.bfloat16))
    KahanAdamW([{"params": [weight], "lr": 1e-5, "weight_decay": 0.0}], BETAS_OF_BFLOAT16, EPS)
    for _ in range(1000):
        weight.sum().backward()  # type: ignore[no-untyped-call]
    assert torch.allclose(weight.float(), torch.full((8,), 0.99), atol=0.003)


def test_light_trains_without_the_package(
    shards: Path, tiny_encoder: Path, tmp_path: Path, without_optimi: None
) -> None:
    trainer = make(shards, tiny_encoder, tmp_path, **LIGHT)
    assert isinstance(light(trainer).optimizer, KahanAdamW)
    parameters, alive = list(trainer.model.parameters()), []
    for parameter in parameters:
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                lambda _: alive.append(sum(p.grad is not None for p in parameters))
            )
    before = states(trainer)
    trainer.model.train()
    trainer.step([np.arange(16)])
    assert len(alive) > 20
    assert max(alive) == 0, "each gradient is freed before the next one is computed"
    changed = states(trainer)
    for name in ("head.weight", "auxiliary.weight", "encoder.embeddings.word_embeddings.weight"):
        assert not torch.equal(before[name], changed[name]), name
    trainer.fit()
    assert trainer.model.auxiliary is None
    with optimizer_kernels_on_meta("cuda"):
        pass  # a plan replaces nothing of the package


@pytest.mark.parametrize("absent_first", [True, False])
def test_a_checkpoint_goes_on_with_the_other_optimizer(
    shards: Path,
    tiny_encoder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    absent_first: bool,
) -> None:
    """As in a run with one optimizer: the state has the same names and values."""
    changes = {**LIGHT, "checkpoint_minutes": 0.0, "epochs": 2}
    whole = make(shards, tiny_encoder, tmp_path / "whole", **changes)
    whole.fit()
    with monkeypatch.context() as patch:
        if absent_first:
            patch.setitem(sys.modules, "optimi", None)
        fit_until(make(shards, tiny_encoder, tmp_path / "parts", **changes), 5, patch)
    with monkeypatch.context() as patch:
        if not absent_first:
            patch.setitem(sys.modules, "optimi", None)
        rest = make(shards, tiny_encoder, tmp_path / "parts", **changes)
        rest.fit()
    (there,) = {type(optimizer) is KahanAdamW for optimizer in rest.updates.optimizers()}
    assert there is not absent_first
    assert rest.progress.step == whole.progress.step
    start = make(shards, tiny_encoder, tmp_path / "start", **changes).model.state_dict()
    ends = [trainer.model.state_dict() for trainer in (whole, rest)]
    for name, tensor in start.items():
        one, other = (end[name].float() for end in ends)
        if "word_embeddings" in name or "attention.output.dense.weight" in name:
            moved = (one - tensor.float()).norm()
            assert moved > 0
            assert (one - other).norm() <= 0.5 * moved, name
