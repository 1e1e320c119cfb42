"""The head of the most frequent labels: what it computes, and that the sparse head leaves them alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.unit.training.runs import HEAD, LIGHT
from tests.unit.training.words.runs import NUM_LABELS, trainer_of
from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling.frequent import OFF
from xmcpipe.modeling.saved import load_model, save_model
from xmcpipe.modeling.topk import top_labels_of
from xmcpipe.ops.label_documents import LabelDocuments
from xmcpipe.ops.word_layer import NO_WORD
from xmcpipe.pieces import Pieces
from xmcpipe.training.feed import positives_of_heads
from xmcpipe.training.trainer import Trainer
from xmcpipe.training.words.documents import document_words
from xmcpipe.training.words.frequent import first_words, grow_words

COUNT = 6
FREQUENT: dict[str, Any] = {"word_fan_in": 4, "frequent_labels": COUNT, "frequent_word_fan_in": 5}
MODES: dict[str, dict[str, Any]] = {
    "paper": {"loss": "bce", "head": {"fan_in": 6, "bias": True, **FREQUENT}},
    "light": {**LIGHT, "head": {**HEAD, **FREQUENT}},
}


@pytest.fixture(params=MODES)
def trainer(request: pytest.FixtureRequest, with_words: Path, tiny_encoder: Path, tmp_path: Path) -> Trainer:
    """A trainer in each memory mode, not yet trained; its encoder has no dropout."""
    trainer = trainer_of(with_words, tiny_encoder, tmp_path / "run", **MODES[request.param])
    for module in trainer.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return trainer


def all_scores(trainer: Trainer) -> Tensor:
    """The scores of all training documents and labels, float32 [N, L], and the features of the documents."""
    batch, model = trainer.feed.batch(trainer.feed.train_rows), trainer.model
    assert model.frequent is not None
    with torch.no_grad():
        features = trainer._features(batch)
        scores = model.head.scores(features, 0, NUM_LABELS, batch.words)
        scores[:, model.frequent.labels] = model.frequent.head.scores(features, 0, COUNT, batch.words)
    return scores


def test_the_labels_of_most_documents_are_taken(with_words: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    changes = {**MODES["paper"], "validation": 0.2}
    feed = trainer_of(with_words, tiny_encoder, tmp_path / "run", **changes).feed
    counts = feed.label_counts.tolist()
    taken = feed.most_frequent(COUNT).tolist()
    assert taken == sorted(taken)
    others = set(range(NUM_LABELS)) - set(taken)
    assert min(counts[label] for label in taken) >= max(counts[label] for label in others)


def test_each_head_gets_its_pairs(trainer: Trainer) -> None:
    batch, frequent = trainer.feed.batch(trainer.feed.train_rows), trainer.model.frequent
    assert frequent is not None
    sparse, own = positives_of_heads(batch)
    assert not torch.isin(sparse.labels, frequent.labels).any()
    together = [*zip(*(each.tolist() for each in sparse), strict=True)]
    together += zip(own.rows.tolist(), frequent.labels[own.labels].tolist(), strict=True)
    assert sorted(together) == sorted(zip(*(each.tolist() for each in batch.positives), strict=True))
    assert len(own.labels) > 0


def test_the_loss_is_that_of_all_labels(trainer: Trainer) -> None:
    scores, rows = all_scores(trainer), trainer.feed.train_rows
    batch = trainer.feed.batch(rows)
    target = torch.zeros_like(scores)
    target[batch.positives.rows, batch.positives.labels] = 1.0
    features = trainer._features(batch)
    trainer.updates.begin(0, 0.0)
    loss = trainer.updates.main_loss(features, batch, 1.0, 1.0)
    expected = F.binary_cross_entropy_with_logits(scores, target, reduction="sum")
    torch.testing.assert_close(loss.detach(), expected, rtol=1e-4, atol=0.0)


def test_their_rows_of_the_sparse_head_do_not_change(trainer: Trainer) -> None:
    model, frequent = trainer.model, trainer.model.frequent
    assert frequent is not None
    before = {name: tensor.clone() for name, tensor in model.head.state_dict().items()}
    first = {name: tensor.clone() for name, tensor in frequent.head.state_dict().items()}
    trainer.fit()
    assert model.head.bias is not None
    assert (model.head.bias[frequent.labels] == OFF).all()
    assert model.head.word_layer is not None
    assert (model.head.word_layer.index.int()[frequent.labels] == NO_WORD).all()
    others = torch.ones(NUM_LABELS, dtype=torch.bool)
    others[frequent.labels] = False
    assert (model.head.bias[others] != before["bias"][others]).any()
    for name in ("weight", "bias", "word_weight"):
        assert not torch.equal(frequent.head.state_dict()[name], first[name]), name


def test_the_best_labels_are_those_of_both_heads(trainer: Trainer) -> None:
    trainer.fit()
    batch, scores = trainer.feed.batch(trainer.feed.train_rows), all_scores(trainer)
    for k in (1, 5, NUM_LABELS):
        with torch.no_grad():
            labels, values = top_labels_of(trainer.model, trainer._features(batch), k, 7, batch.words)
        expected = scores.sort(dim=1, descending=True, stable=True)
        torch.testing.assert_close(values, expected.values[:, :k])
        assert (labels == expected.indices[:, :k]).float().mean() > 0.99  # sums in another order may tie
        assert all(len(set(row)) == k for row in labels.tolist())


def test_a_loaded_model_predicts_the_same(trainer: Trainer, tmp_path: Path) -> None:
    trainer.fit()
    save_model(tmp_path, trainer.model, Pieces(16), {})
    loaded, _ = load_model(tmp_path)
    assert loaded.frequent is not None
    batch = trainer.feed.batch(trainer.feed.train_rows)
    with torch.no_grad():
        features = trainer._features(batch).float()
        got = top_labels_of(loaded, features, 5, 1000, batch.words)
        expected = top_labels_of(trainer.model, features, 5, 1000, batch.words)
    for one, other in zip(got, expected, strict=True):
        assert torch.equal(one, other)


def test_words_grow_along_the_largest_gradient(trainer: Trainer) -> None:
    model, feed = trainer.model, trainer.feed
    frequent, vocabulary = model.frequent, feed.vocabulary
    assert frequent is not None
    assert vocabulary is not None
    trainer.step(trainer.feed.groups(0)[0])
    rows, count = feed.train_rows, 2
    batch = feed.batch(rows)
    words = document_words([(feed.shards, rows)], vocabulary)
    dense = torch.zeros(len(rows), len(vocabulary))
    for row in range(len(rows)):
        here = slice(words.begins[row], words.begins[row + 1])
        dense[row, words.words[here].astype(np.int64)] = torch.from_numpy(words.values[here])
    layer = frequent.head.word_layer
    assert layer is not None
    with torch.no_grad():
        features = trainer._features(batch).float()
        weight = torch.zeros(COUNT, 65_536).scatter_(1, layer.index.long(), layer.weight.float())
        weight = weight[:, : len(vocabulary)].clone().requires_grad_()
        others = frequent.head.scores(features, 0, COUNT)
    target = torch.zeros(len(rows), COUNT)
    own = positives_of_heads(batch)[1]
    target[own.rows, own.labels] = 1.0
    loss = F.binary_cross_entropy_with_logits(others + dense @ weight.T, target, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, weight)
    size = gradient.abs() / torch.from_numpy(words.mean + 1e-4).sqrt()
    before = layer.index.long().clone()
    chosen = grow_words(
        frequent.head, "bce", words, lambda part: features[part].numpy(), own.labels.numpy(),
        own.rows.numpy(), count,
    )  # fmt: skip
    assert chosen == COUNT * count
    for label in range(COUNT):
        read = before[label][before[label] < len(vocabulary)]
        candidates = size[label].clone()
        candidates[read] = 0.0
        new = set(layer.index[label].tolist()) - set(before[label].tolist())
        assert len(new) == count
        least = float(candidates.topk(count).values[-1])
        assert all(float(candidates[word]) >= least * (1 - 1e-4) for word in new)


def test_first_words_speak_for_a_label_or_against_it(trainer: Trainer) -> None:
    feed = trainer.feed
    assert feed.vocabulary is not None
    words = document_words([(feed.shards, feed.train_rows)], feed.vocabulary)
    half = len(words.begins) // 2
    # A label that every other document has: all documents of some words have it, none of others.
    documents = np.arange(0, 2 * half, 2)
    pairs = LabelDocuments.of(np.zeros(len(documents), np.int64), documents, 1)
    (index,) = first_words(words, pairs, 20)
    has = np.zeros(len(words.mean))
    for row in documents[documents < len(words.begins) - 1]:
        has[words.words[words.begins[row] : words.begins[row + 1]]] += 1
    spoken_for = has[index] > 0
    assert 0 < spoken_for.sum() < len(index)


def test_more_frequent_labels_than_labels_are_refused(
    with_words: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    head = {**MODES["paper"]["head"], "frequent_labels": NUM_LABELS}
    with pytest.raises(
        XmcpipeError, match=r"expected train.head.frequent_labels below the 40 labels, got 40"
    ):
        trainer_of(with_words, tiny_encoder, tmp_path, loss="bce", head=head)
