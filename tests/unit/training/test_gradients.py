"""Norms of the encoder's gradients equal those of plain autograd, and don't change the training."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.training.runs import CLUSTERS, HEAD, LIGHT, make, same_bits, states
from xmcpipe.data.shards.files import Int64s
from xmcpipe.modeling.fused import chunked_loss
from xmcpipe.modeling.losses import scale
from xmcpipe.training.feed import TokenBatch
from xmcpipe.training.gradients import SplitEmbedding, is_measured
from xmcpipe.training.trainer import Trainer

ROWS = np.arange(16)
CHECKPOINTING = {"encoder": {"dropout": 0.0, "checkpointing": True}}
MODES: dict[str, dict[str, Any]] = {
    "paper": {},
    "paper, bce, intermediate": {"loss": "bce", "head": {"fan_in": 6, "intermediate": 48}},
    "paper, dense, checkpointing": {"head": {"kind": "dense"}, **CHECKPOINTING},
    "paper, bottleneck": {"head": {"kind": "bottleneck", "fan_in": 6}},
    "paper, float16": {
        "precision": "float16",
        "loss": "bce",
    },  # the initial loss scale is too large for plain float16
    "light": LIGHT,
    "light, float32, checkpointing": {**LIGHT, **CHECKPOINTING, "precision": "float32"},
}


def expected(trainer: Trainer, rows: Int64s) -> dict[str, float]:
    """The norms of the existing losses, by torch.autograd.grad in float32 with all gradients at once.

    The trainer can't be used afterwards.
    """
    model, batch = trainer.model.float(), trainer.feed.batch(rows)
    assert isinstance(batch, TokenBatch)
    s = trainer.auxiliary_weight
    embedding = model.embed(batch.input_ids_BS, batch.mask_BS)
    factor = scale(trainer.config.loss, "mean", len(rows), trainer.feed.num_labels)
    main = chunked_loss(
        model.head, model.features(embedding), batch.positives, trainer.config.loss, factor, 1000
    )
    losses = {"main": (1 - s) * main}
    if s:
        assert model.auxiliary is not None
        clusters = CLUSTERS[batch.positives.labels]
        losses["auxiliary"] = s * model.auxiliary.loss(embedding, batch.positives.rows, clusters)
    parameters = list(model.encoder.parameters())
    norms = {}
    for name, loss in losses.items():
        found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        squares = [gradient.double().square().sum() for gradient in found if gradient is not None]
        norms[name] = float(torch.stack(squares).sum().sqrt())
    return norms


def measured(trainer: Trainer, group: list[Int64s]) -> dict[str, float | None]:
    trainer.model.train()
    trainer.step(group)
    return trainer.norms


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("step", [2, 12])  # with the auxiliary branch, and without it
def test_norms_are_those_of_autograd(
    shards: Path, tiny_encoder: Path, tmp_path: Path, mode: str, step: int
) -> None:
    pair = [make(shards, tiny_encoder, tmp_path, gradients_every=1, **MODES[mode]) for _ in range(2)]
    for trainer in pair:
        trainer.progress.step = step
    found, reference = measured(pair[0], [ROWS]), expected(pair[1], ROWS)
    if step == 12:
        assert found.pop("auxiliary") is None
    exact = pair[0].config.precision == "float32"
    assert found == pytest.approx(reference, rel=1e-4 if exact else 0.02)


def test_with_accumulation_the_first_batch_represents_all(
    shards: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    pair = [make(shards, tiny_encoder, tmp_path, gradients_every=1) for _ in range(2)]
    found = measured(pair[0], [ROWS[:4], ROWS[4:]])
    assert found == pytest.approx(expected(pair[1], ROWS[:4]), rel=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"accumulation": 2, "encoder": {"dropout": 0.3, "max_grad_norm": 0.01}, "precision": "bfloat16"},
        {"precision": "float16", "encoder": {"dropout": 0.3, "checkpointing": True}, "loss": "bce"},
        {**LIGHT, "encoder": {"dropout": 0.3, "checkpointing": True}},
        {**LIGHT, "head": {**HEAD, "intermediate": 48}},
    ],
    ids=["paper", "paper, float16", "light", "light, intermediate"],
)
def test_a_training_that_is_measured_ends_in_the_same_bits(
    shards: Path, tiny_encoder: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    ends = []
    for every in (0, 1):
        table: dict[str, Any] = {"gradients_every": every, "dropout": 0.1, "epochs": 3, **changes}
        trainer = make(shards, tiny_encoder, tmp_path / str(every), **table)
        trainer.fit()
        ends.append(states(trainer))
    assert ends[0].keys() == ends[1].keys()
    for name, tensor in ends[0].items():
        assert same_bits(tensor, ends[1][name]), name


@pytest.mark.parametrize(("every", "steps"), [(0, []), (6, [2, 6, 8, 12])])
def test_the_lines_of_the_log(
    shards: Path, tiny_encoder: Path, tmp_path: Path, every: int, steps: list[int]
) -> None:
    trainer = make(shards, tiny_encoder, tmp_path, gradients_every=every)
    trainer.fit()
    text = (tmp_path / "log" / "metrics.jsonl").read_text()
    lines = [line for line in map(json.loads, text.splitlines()) if line["kind"] == "gradient"]
    assert [line["step"] for line in lines] == steps
    for line in lines:
        assert line.keys() == {"kind", "step", "main", "auxiliary"}
        assert line["main"] > 0
        assert line["auxiliary"] is None if line["step"] > 8 else line["auxiliary"] > 0


def test_a_frozen_encoder_has_no_gradients(shards: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    changes: dict[str, Any] = {**LIGHT, "auxiliary": {"weight": 0.0}, "gradients_every": 1}
    assert measured(make(shards, tiny_encoder, tmp_path, frozen=True, **changes), [ROWS]) == {}


def test_which_steps_are_measured() -> None:
    assert [number for number in range(1, 1101) if is_measured(number, 500)] == [2, 8, 32, 128, 500, 1000]
    assert all(is_measured(number, 1) for number in range(1, 10))
    assert not any(is_measured(number, 0) for number in range(200))


@pytest.mark.parametrize(
    ("gradient", "norm"), [([3.0, 4.0], 2.5), ([0.0, 0.0], 0.0), ([float("inf"), 1.0], None)]
)
def test_measuring_leaves_no_gradient(gradient: list[float], norm: float | None) -> None:
    encoder, unused = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    split = SplitEmbedding(2.0 * encoder)
    split.main_BE.grad = torch.tensor(gradient)
    assert split.norms([encoder, unused], 4.0) == {"main": norm, "auxiliary": None}
    assert encoder.grad is None
    split.backward()
    assert encoder.grad is not None
    assert encoder.grad.tolist() == [2 * value for value in gradient]
