"""Averaged weights: the right mean, new connections start anew, and the mean is evaluated and saved."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.unit.training.runs import LIGHT, make, same_bits
from tests.unit.training.words.runs import trainer_of
from xmcpipe.config import from_table, to_table
from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling import heads
from xmcpipe.modeling.encoder import from_config
from xmcpipe.modeling.heads import HeadShape
from xmcpipe.modeling.model import Model
from xmcpipe.signals import Interrupted
from xmcpipe.training import checkpoint
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.trainer import Trainer
from xmcpipe.training.updates.averaging import PREFIX, Average
from xmcpipe.training.validation import inverse_propensities, validate

AVERAGED: dict[str, Any] = {"average": "ema", "average_decay": 0.7}


def means(trainer: Trainer) -> dict[str, Tensor]:
    """The means of a trainer whose model has its weights."""
    return {name.removeprefix(PREFIX): mean for name, mean in trainer.average.tensors().items()}


def model_weights(trainer: Trainer) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}


def test_the_mean_follows_the_weights(shards: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    trainer = make(shards, tiny_encoder, tmp_path / "run", **AVERAGED)
    names = means(trainer).keys()
    assert {"head.weight", "head.bias"} < names
    assert any(name.startswith("encoder.") for name in names)
    assert not any(name.startswith("auxiliary.") for name in names)
    expected = {name: tensor.double() for name, tensor in model_weights(trainer).items()}
    for number, group in enumerate(trainer.feed.groups(0), 1):
        trainer.step(group)
        decay = min(0.7, (1 + number) / (10 + number))
        for name, tensor in trainer.model.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * tensor.double()
    for name, mean in means(trainer).items():
        trained = ".pooler." not in name  # that layer of the encoder is not used
        assert torch.equal(mean, trainer.model.state_dict()[name]) != trained, name
        torch.testing.assert_close(mean.double(), expected[name], rtol=1e-5, atol=1e-7)


def test_a_frozen_encoder_has_no_mean(shards: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    trainer = make(shards, tiny_encoder, tmp_path / "run", **AVERAGED)
    trainer.model.encoder.requires_grad_(False)
    assert Average(trainer.config, trainer.model).tensors().keys() == {
        f"{PREFIX}head.weight",
        f"{PREFIX}head.bias",
    }


@given(st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=20), st.floats(0, 0.999))
def test_a_mean_lies_among_the_weights(tiny_encoder: Path, values: list[float], decay: float) -> None:
    head = heads.build(HeadShape("ffi", 32, 5, 4, bias=True), "cpu")
    model = Model(from_config(str(tiny_encoder)).requires_grad_(False), "mean", 0.0, 0, head, 0)
    torch.nn.init.constant_(head.weight, values[0])
    average = Average(from_table(TrainConfig, {"average": "ema", "average_decay": decay}, "train"), model)
    for step, value in enumerate(values, 1):
        torch.nn.init.constant_(head.weight, value)
        average.update(step)
    mean = average.tensors()[f"{PREFIX}head.weight"].clone()
    slack = 1e-5 * max(map(abs, values))
    assert float(mean.min()) >= min(values) - slack
    assert float(mean.max()) <= max(values) + slack
    average.show(means=True)
    average.show(means=True)  # nothing happens
    assert same_bits(head.weight.detach(), mean)
    average.show(means=False)
    assert torch.equal(head.weight, torch.full_like(head.weight, values[-1]))
    assert same_bits(average.tensors()[f"{PREFIX}head.weight"], mean)


def test_new_connections_and_words_start_anew(
    with_words: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = {
        "fan_in": 6, "word_fan_in": 2, "bias": True, "frequent_labels": 5, "frequent_word_fan_in": 7,
    }  # fmt: skip
    rewire = {"interval": 3, "fraction": 0.3, "prune": "row"}
    changes = {**AVERAGED, "loss": "bce", "head": head, "rewire": rewire}
    trainer = trainer_of(with_words, tiny_encoder, tmp_path / "run", **changes)
    rewired, seen = trainer._rewire, set[str]()

    def watched(log: Any) -> None:
        old = model_weights(trainer)
        old_means = {name: mean.clone() for name, mean in means(trainer).items()}
        number = trainer.progress.rewirings
        rewired(log)
        if trainer.progress.rewirings == number:
            return
        new = model_weights(trainer)
        for weight, index in (
            ("head.weight", "head.index"),
            ("head.word_weight", "head.word_index"),
            ("frequent.head.word_weight", "frequent.head.word_index"),
        ):
            changed = old[index].int() != new[index].int()
            seen.update([index] if changed.any() else [])
            assert not means(trainer)[weight][changed].any()
            kept = ~changed & (new[weight] != 0)
            assert kept.any()
            assert torch.equal(means(trainer)[weight][kept], old_means[weight][kept])

    monkeypatch.setattr(trainer, "_rewire", watched)
    trainer.fit()
    assert seen == {"head.index", "head.word_index", "frequent.head.word_index"}


@pytest.mark.parametrize("validation", [0.0, 0.25])
def test_the_mean_is_evaluated_and_saved(
    shards: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, validation: float
) -> None:
    trainer = make(shards, tiny_encoder, tmp_path / "run", validation=validation, **AVERAGED)
    after_step, kept = trainer._after_step, dict[int, dict[str, Tensor]]()

    def watched(*arguments: Any) -> None:
        after_step(*arguments)  # with the rewiring
        saved = {**model_weights(trainer), **means(trainer)}
        kept[trainer.progress.step] = {name: tensor.clone() for name, tensor in saved.items()}

    monkeypatch.setattr(trainer, "_after_step", watched)
    progress = trainer.fit()
    last = progress.best_step if validation else progress.step
    for name, tensor in trainer.model.state_dict().items():
        assert same_bits(tensor, kept[last][name]), name
    if validation:
        assert 0 < last <= progress.step
        weight_L = inverse_propensities(trainer.feed.label_counts, trainer.feed.num_documents)
        batches = trainer.feed.validation_batches()
        figures = validate(trainer.model, batches, trainer._features, weight_L, 1000)
        (best,) = (row for row in progress.evaluations if row["step"] == last)
        assert figures == {name: value for name, value in best.items() if "@" in name}


def test_a_signal_within_an_evaluation(
    shards: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**AVERAGED, "validation": 0.25, "max_steps": 8}
    whole = make(shards, tiny_encoder, tmp_path / "whole", dropout=0.1, **settings)
    whole.fit()
    ended = make(shards, tiny_encoder, tmp_path / "ended", dropout=0.1, **settings)
    looks = iter([None] * 3 + [signal.SIGTERM])  # three steps, then the first batch of the evaluation
    monkeypatch.setattr("xmcpipe.training.trainer.requested", lambda: next(looks))
    with pytest.raises(Interrupted, match="has a checkpoint at step 3 of 8"):
        ended.fit()
    monkeypatch.undo()
    assert checkpoint.read_progress(checkpoint.newest_first(tmp_path / "ended")[0]).evaluations == []
    resumed = make(shards, tiny_encoder, tmp_path / "ended", dropout=0.1, **settings)
    resumed.fit()
    assert resumed.progress.evaluations == whole.progress.evaluations
    for name, tensor in whole.model.state_dict().items():
        assert same_bits(tensor, resumed.model.state_dict()[name]), name


def test_what_is_refused_and_what_a_fingerprint_has() -> None:
    with pytest.raises(XmcpipeError, match="expected average = 'none' with memory = 'light'"):
        from_table(TrainConfig, {**LIGHT, **AVERAGED}, "train")
    with pytest.raises(XmcpipeError, match="expected 0 <= average_decay < 1, got average_decay = 1"):
        from_table(TrainConfig, {"average": "ema", "average_decay": 1.0}, "train")
    plain = to_table(from_table(TrainConfig, {"average_decay": 0.5}, "train"), keys="identity")
    assert not {"average", "average_decay"} & plain.keys()
    assert AVERAGED.items() <= to_table(from_table(TrainConfig, AVERAGED, "train"), keys="identity").items()
