"""Trainings whose labels share features by groups: their ids stay what they are outside the head."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.unit.training.runs import HEAD, LABELS, LIGHT, fit_until, make, same_bits, states
from tests.unit.training.words.runs import NUM_LABELS, text_of, trainer_of
from xmcpipe.data.explanation import WordExplainer
from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling.checks.indices import require_sound_indices
from xmcpipe.modeling.frequent import OFF
from xmcpipe.modeling.heads.ffi import FFIHead
from xmcpipe.modeling.saved import load_model, save_model
from xmcpipe.modeling.topk import top_labels, top_labels_of
from xmcpipe.ops.layer import label_rows
from xmcpipe.ops.word_layer import NO_WORD
from xmcpipe.pieces import Pieces
from xmcpipe.report.facts.topology import read_topology
from xmcpipe.training.rewiring import Cut
from xmcpipe.training.trainer import Trainer

GROUP = 6  # 40 labels: six groups of 6, one of 4
RANDOM: dict[str, Any] = {"group": GROUP, "group_by": "random"}
SGD: dict[str, Any] = {"loss": "bce", "head": {**HEAD, **RANDOM}}
MODES: dict[str, dict[str, Any]] = {
    "paper": {"head": {"fan_in": 6, "bias": True, **RANDOM}},
    "paper, sgd": SGD,
    "light": {**LIGHT, "head": {**HEAD, **RANDOM}},
}


def sparse(trainer: Trainer) -> FFIHead:
    assert isinstance(trainer.model.head, FFIHead)
    return trainer.model.head


def scores_by_id(trainer: Trainer, features: Tensor) -> Tensor:
    """The scores of all labels, in the order of their ids."""
    head = trainer.model.head
    assert head.order is not None
    scores = torch.empty(len(features), head.num_labels)
    scores[:, head.order.long()] = head.scores(features, 0, head.num_labels)
    return scores


@pytest.mark.parametrize("mode", ["paper, sgd", "light"])
def test_a_group_trains_as_labels_of_the_plain_layer_that_read_the_same(
    shards: Path, tiny_encoder: Path, tmp_path: Path, mode: str
) -> None:
    changes = {**MODES[mode], "precision": "float32", "rewire": {"interval": 0}, "label_chunk": 13}
    grouped = make(shards, tiny_encoder, tmp_path / "grouped", **changes)
    plain_changes = {**changes, "head": {**HEAD}}
    plain = make(shards, tiny_encoder, tmp_path / "plain", **plain_changes)
    head, order = plain.model.head, sparse(grouped).label_order.long()
    index = label_rows(sparse(grouped).index, GROUP, LABELS).int().to(torch.uint16)
    with torch.no_grad():
        head.weight[order] = sparse(grouped).weight
        head.index.view(torch.int16)[order] = index.view(torch.int16)
    for trainer in (grouped, plain):
        trainer.fit()
    assert head.bias is not None
    assert sparse(grouped).bias is not None
    torch.testing.assert_close(sparse(grouped).weight, head.weight[order], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(sparse(grouped).bias, head.bias[order], atol=1e-4, rtol=1e-3)
    features = torch.randn(5, head.shape.in_features)
    torch.testing.assert_close(
        scores_by_id(grouped, features), head.scores(features, 0, LABELS), atol=1e-3, rtol=1e-3
    )


@pytest.mark.parametrize("growth", ["random", "gradient", "documents"])
@pytest.mark.parametrize("mode", MODES)
def test_a_killed_training_continues_with_the_same_bits(
    shards: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, growth: str
) -> None:
    rewire = {"interval": 3, "fraction": 0.3, "growth": growth, "until": 1.0}
    changes = {**MODES[mode], "rewire": rewire, "checkpoint_minutes": 0.0}
    whole = make(shards, tiny_encoder, tmp_path / "whole", **changes)
    whole.fit()
    with monkeypatch.context() as patch:
        fit_until(make(shards, tiny_encoder, tmp_path / "killed", **changes), 7, patch)
    resumed = make(shards, tiny_encoder, tmp_path / "killed", **changes)
    resumed.fit()
    expected, got = states(whole), states(resumed)
    assert expected.keys() == got.keys()
    assert all(same_bits(tensor, got[name]) for name, tensor in expected.items())
    assert whole.progress.rewirings > 2
    assert all(len(set(row)) == len(row) for row in sparse(whole).index.tolist())
    assert sparse(whole).first_connections() < 1.0


@pytest.mark.parametrize("growth", ["gradient", "documents"])
def test_chunks_of_a_rewiring_give_the_same(
    shards: Path, tiny_encoder: Path, tmp_path: Path, growth: str
) -> None:
    results = []
    for chunk in (1, 20, 100):
        rewire = {"interval": 5, "fraction": 0.3, "growth": growth, "until": 1.0, "prune": "row"}
        changes = {**MODES["light"], "rewire": rewire}
        trainer = make(shards, tiny_encoder, tmp_path / str(chunk), **changes)
        for group in trainer.feed.groups(0)[:4]:
            trainer.step(group)
        trainer.step(trainer.feed.groups(1)[0])
        object.__setattr__(trainer.config, "label_chunk", chunk)
        assert trainer.growth is not None
        trainer.growth.rewire([], Cut(0, 0, 2), 1)
        results.append(sparse(trainer).index.int())
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_best_labels_are_ids(shards: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    trainer = make(shards, tiny_encoder, tmp_path / "run", **MODES["light"])
    trainer.fit()
    features = torch.randn(7, trainer.model.head.shape.in_features)
    scores = scores_by_id(trainer, features)
    labels, best = top_labels(trainer.model.head, features, 5, 9)
    expected = scores.topk(5, dim=1)
    torch.testing.assert_close(best, expected.values)
    assert torch.equal(scores.gather(1, labels), best)
    added = torch.full((LABELS,), -100.0)
    added[3] = 0.0
    assert (top_labels(trainer.model.head, features, 1, 9, added_L=added)[0] == 3).all()


def test_a_saved_model_keeps_its_order(shards: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    trainer = make(shards, tiny_encoder, tmp_path / "run", **MODES["light"])
    (tmp_path / "model").mkdir()
    save_model(tmp_path / "model", trainer.model, Pieces(16), {})
    loaded, _ = load_model(tmp_path / "model")
    assert loaded.head.order is not None
    assert torch.equal(loaded.head.order, sparse(trainer).label_order)
    features = torch.randn(3, loaded.head.shape.in_features)
    assert torch.equal(
        top_labels_of(loaded, features, 4, 64)[0], top_labels_of(trainer.model, features, 4, 64)[0]
    )
    sparse(trainer).label_order[0] = sparse(trainer).label_order[1]
    with pytest.raises(XmcpipeError, match=r"label_order: expected each label from 0 to 39 once"):
        require_sound_indices(trainer.model, tmp_path, "")


@pytest.mark.parametrize("mode", ["paper", "light"])
def test_frequent_labels_and_words_find_their_places(
    with_words: Path, tiny_encoder: Path, tmp_path: Path, mode: str
) -> None:
    words = {"word_fan_in": 4, "frequent_labels": 6, "frequent_word_fan_in": 5, **RANDOM}
    changes = {**LIGHT, "head": {**HEAD, **words}}
    if mode == "paper":
        changes = {"loss": "bce", "head": {"fan_in": 6, "bias": True, **words}}
    trainer = trainer_of(with_words, tiny_encoder, tmp_path / "run", **changes)
    head, frequent = sparse(trainer), trainer.model.frequent
    assert frequent is not None
    assert head.bias is not None
    places = head.places_of(frequent.labels)
    assert torch.equal(head.label_order[places].long(), frequent.labels)
    assert (head.bias[places] == OFF).all()
    assert (head.word_index.int()[places] == NO_WORD).all()
    trainer.fit()
    # A word names the label of a document.
    batch = trainer.feed.batch(trainer.feed.train_rows)
    with torch.no_grad():
        features = trainer._features(batch)
    labels, _ = top_labels_of(trainer.model, features, 1, 64, batch.words)
    truth = torch.empty(len(labels), dtype=torch.int64)
    truth[batch.positives.rows] = batch.positives.labels
    assert (labels[:, 0] == truth).float().mean() > 0.9
    assert trainer.progress.rewirings > 0
    (tmp_path / "model").mkdir()
    save_model(tmp_path / "model", trainer.model, Pieces(16), {})
    explainer = WordExplainer(tmp_path / "model")
    for label in (0, 7, NUM_LABELS - 1):
        (best, _), *_ = explainer.parts(text_of(label), [label])[0]
        assert f"object{label}" in best.split()
    topology = read_topology(tmp_path / "model")
    assert topology is not None
    assert (topology.labels, topology.fan_in) == (NUM_LABELS, 6 if mode == "paper" else HEAD["fan_in"])
    assert topology.uses.sum() == topology.labels * topology.fan_in
