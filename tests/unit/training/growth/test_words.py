"""Growth of words: what labels choose again, and words in growth by gradient."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.unit.training.runs import HEAD, LIGHT, fit_until, same_bits, states
from tests.unit.training.words.runs import NUM_LABELS, trainer_of
from xmcpipe.ops.losses.loss import loss_named
from xmcpipe.ops.word_layer import NO_WORD
from xmcpipe.training.growth.gradient import AverageGradient
from xmcpipe.training.growth.state import Growth
from xmcpipe.training.trainer import Trainer

REWIRE: dict[str, Any] = {"interval": 5, "fraction": 0.5, "prune": "row", "until": 1.0}
MODES: dict[str, dict[str, Any]] = {
    "paper": {"loss": "bce", "head": {"fan_in": 6, "bias": True, "word_fan_in": 4}},
    "squared hinge": {"head": {"fan_in": 6, "word_fan_in": 4, "word_lr": 0.5}},
    "light": {**LIGHT, "head": {**HEAD, "word_fan_in": 4}},
}


def growth(trainer: Trainer) -> Growth:
    assert trainer.growth is not None
    return trainer.growth


def dense_words(trainer: Trainer) -> tuple[Tensor, Tensor]:
    """The words of the training documents [N, V], and the weights of the labels over them [L, V]."""
    feed, head = trainer.feed, trainer.model.head
    batch, layer = feed.batch(feed.train_rows), head.word_layer
    assert batch.words is not None
    assert layer is not None
    documents = torch.zeros(len(batch), NO_WORD + 1, dtype=torch.float64)
    held = (batch.words.place >= 0).nonzero().squeeze(1)
    documents[:, held] = batch.words.values_UB[batch.words.place[held].long()].T.double()
    weights = torch.zeros(NUM_LABELS, NO_WORD + 1, dtype=torch.float64)
    return documents, weights.scatter_(1, layer.index.long(), layer.weight.detach().double())


def dense_scores(trainer: Trainer) -> Tensor:
    """The scores of the training documents by matrices, from the features that growth has: [N, L]."""
    head, cache = trainer.model.head, growth(trainer).documents
    assert cache is not None
    features = torch.from_numpy(cache.gather(trainer.feed.train_rows)).double()
    weight = torch.zeros(NUM_LABELS, features.shape[1], dtype=torch.float64)
    weight.scatter_(1, head.index.long(), head.weight.detach().double())
    documents, words = dense_words(trainer)
    scores = features @ weight.T + documents @ words.T
    return scores if head.bias is None else scores + head.bias.detach()


def gradients(scores: Tensor, labels: Tensor, loss: str) -> Tensor:
    """The gradient of the summed loss by each score, [N, L]; document n has the label `labels[n]`."""
    found = scores.clone()
    loss_named(loss).in_place(found, torch.arange(len(labels)), labels)
    return found


# Long: it repeats the whole choice by matrices.
@pytest.mark.parametrize("mode", MODES)
def test_labels_choose_words_of_the_documents_that_are_still_wrong(
    with_words: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    changes = {**MODES[mode], "rewire": {**REWIRE, "word_growth": "documents"}}
    trainer = trainer_of(with_words, tiny_encoder, tmp_path / "run", **changes)
    layer, chosen = trainer.model.head.word_layer, 0
    assert layer is not None
    rewire, documents = growth(trainer).rewire_words, trainer.feed.train_rows
    labels = torch.from_numpy(documents % NUM_LABELS)

    def watched() -> int:
        nonlocal chosen
        cache = growth(trainer).documents
        assert cache is not None
        if not cache.seen(documents).all():  # in the first epoch
            return rewire()
        before = layer.index.clone()
        lacking = -gradients(dense_scores(trainer), labels, trainer.config.loss)
        words = dense_words(trainer)[0]
        mean = words.mean(0)
        weakest = torch.where(before.int() == NO_WORD, -1.0, layer.weight.detach().float().abs())
        places = weakest.argsort(dim=1, stable=True)[:, :2]
        count = rewire()
        chosen += count
        for label in range(NUM_LABELS):
            own = (labels == label).nonzero().squeeze(1)
            weight = lacking[own, label]
            surplus = (weight @ words[own] - weight.sum() * mean) / len(own)
            score = surplus / (mean + 1e-4).sqrt()
            score[before[label].long()] = -1.0
            for place in places[label]:
                new = int(layer.index[label, place])
                if new == int(before[label, place]):  # there was no word left
                    assert score.max() <= 1e-6
                else:  # scores are rounded to 2^-11
                    assert score[new] >= score.max() - 2e-3
                    assert float(layer.weight[label, place]) == 0.0
                    score[new] = -1.0
        return count

    monkeypatch.setattr(trainer.growth, "rewire_words", watched)
    trainer.fit()
    assert chosen > 0


@pytest.mark.parametrize("chunk", [1, 7])
def test_chunks_of_labels_choose_the_same_words(
    with_words: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    found = []
    for rows in (chunk, NUM_LABELS):
        monkeypatch.setattr("xmcpipe.training.growth.words.chunk_rows", lambda _, rows=rows: rows)
        monkeypatch.setattr("xmcpipe.training.growth.words.PIECE_VALUES", 64 * rows)
        changes = {**MODES["paper"], "rewire": {**REWIRE, "word_growth": "documents"}}
        trainer = trainer_of(with_words, tiny_encoder, tmp_path / f"{rows}", **changes)
        trainer.fit()
        found.append(states(trainer))
    for name, tensor in found[0].items():
        assert same_bits(tensor, found[1][name]), name


@pytest.mark.parametrize("kind", ["gradient", "documents"])
def test_the_gradient_of_growth_knows_the_words(
    with_words: Path, tiny_encoder: Path, tmp_path: Path, kind: str
) -> None:
    """The ring holds the whole last epoch, so that its average is that of all documents."""
    changes = {**MODES["paper"], "rewire": {**REWIRE, "interval": 80, "growth": kind, "window": 10}}
    trainer = trainer_of(with_words, tiny_encoder, tmp_path / "run", **changes, epochs=8, validation=0.0)
    labels = torch.from_numpy(trainer.feed.train_rows % NUM_LABELS)
    checked = 0

    def rewire(moments: list[Tensor], cut: Any, rewiring: int) -> int:
        nonlocal checked
        found, head = growth(trainer), trainer.model.head
        assert found.ring is not None
        kept = found.ring.contents()
        cache = found.documents
        documents = found._of_ring(kept) if cache is None else found._of_cache(cache)
        words = found._word_scores(kept, cache is not None)
        average = AverageGradient(head, "bce", kept, documents, words).of(torch.arange(NUM_LABELS))
        without = AverageGradient(head, "bce", kept, documents).of(torch.arange(NUM_LABELS))
        rows = kept.rows
        features = kept.features[rows].double()
        assert sorted(kept.documents[rows].tolist()) == list(range(160))
        all_words, weights = dense_words(trainer)
        dense = torch.zeros(NUM_LABELS, features.shape[1], dtype=torch.float64)
        dense.scatter_(1, head.index.long(), head.weight.detach().double())
        assert head.bias is not None
        scores = features @ dense.T + head.bias.detach() + all_words[kept.documents[rows]] @ weights.T
        expected = gradients(scores, labels[kept.documents[rows]], "bce").T @ features / len(rows)
        scale = float(expected.abs().max())
        # The cache has the features of a document's last visit without dropout, which is 0 here.
        torch.testing.assert_close(average, expected, rtol=0.0, atol=0.01 * scale)
        assert float((without - expected).abs().max()) > 0.05 * scale
        checked += 1
        return 0

    growth(trainer).rewire = rewire  # type: ignore[method-assign, assignment]
    trainer.fit()
    assert checked == 1


@pytest.mark.parametrize("minutes", [0.0, pytest.param(10.0, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["random", "gradient", "documents"])
@pytest.mark.parametrize("mode", ["paper", "light"])
def test_a_resumed_training_ends_in_the_same_bits(
    with_words: Path,
    tiny_encoder: Path,
    tmp_path: Path,
    mode: str,
    kind: str,
    minutes: float,
) -> None:
    rewire = {**REWIRE, "interval": 4, "growth": kind, "word_growth": "documents", "window": 3}
    changes = {**MODES[mode], "epochs": 2, "checkpoint_minutes": minutes, "rewire": rewire}
    whole = trainer_of(with_words, tiny_encoder, tmp_path / "whole", **changes)
    whole.fit()
    for stop in (3, 7, 13):
        fit_until(
            trainer_of(with_words, tiny_encoder, tmp_path / "cut", **changes), stop, pytest.MonkeyPatch()
        )
    resumed = trainer_of(with_words, tiny_encoder, tmp_path / "cut", **changes)
    resumed.fit()
    expected, got = states(whole), states(resumed)
    for name, tensor in expected.items():
        assert same_bits(tensor, got[name]), name
    first = trainer_of(with_words, tiny_encoder, tmp_path / "first", **changes)
    assert not np.array_equal(states(first)["head.word_index"].numpy(), got["head.word_index"].numpy())
