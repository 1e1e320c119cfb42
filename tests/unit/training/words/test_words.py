"""Words in the layer: which are chosen, that they are learned in both modes, and that a resume is exact."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.training.runs import HEAD, LIGHT, fit_until, same_bits, states
from tests.unit.training.words.runs import NUM_DOCUMENTS, NUM_LABELS, text_of, trainer_of
from xmcpipe.config import from_table
from xmcpipe.data.shards.files import Shards
from xmcpipe.data.terms import named_terms
from xmcpipe.errors import XmcpipeError
from xmcpipe.ops.word_layer import NO_WORD
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.trainer import Trainer
from xmcpipe.training.validation import validate
from xmcpipe.training.words.choice import choose_words

MODES: dict[str, dict[str, Any]] = {
    "paper": {"loss": "bce", "head": {"fan_in": 6, "bias": True, "word_fan_in": 4}},
    "light": {**LIGHT, "head": {**HEAD, "word_fan_in": 4}},
}
FREQUENT = {"frequent_labels": 7, "frequent_word_fan_in": 9}
for name, table in list(MODES.items()):
    MODES[f"{name}, frequent labels"] = {**table, "head": {**table["head"], **FREQUENT}}


def precision_at_1(trainer: Trainer) -> float:
    """P@1 on the training documents."""
    batch = trainer.feed.batch(trainer.feed.train_rows)
    figures = validate(
        trainer.model, [batch], trainer._features, torch.ones(NUM_LABELS, dtype=torch.float64), 1000
    )
    return figures["P@1"]


def test_the_chosen_words_tell_a_label_from_the_others(with_words: Path) -> None:
    shards = Shards(with_words, "train")
    choice = choose_words(shards, np.arange(len(shards)), Shards(with_words, "label"), NUM_LABELS, 3)
    for label in range(NUM_LABELS):
        spelled = named_terms(text_of(label), pairs=True)
        words = [spelled[int(choice.vocabulary.codes[word])] for word in choice.index_LK[label]]
        # Numbers of documents are in one document each: no vocabulary keeps them.
        assert sorted(words) == [f"object{label}", f"object{label} number", f"of object{label}"]


def test_a_label_without_documents_reads_no_word(with_words: Path) -> None:
    shards = Shards(with_words, "train")
    rows = np.flatnonzero(np.arange(NUM_DOCUMENTS) % NUM_LABELS != 7)
    choice = choose_words(shards, rows, Shards(with_words, "label"), NUM_LABELS, 3)
    assert (choice.index_LK[7] == NO_WORD).all()
    assert (choice.index_LK[6] != NO_WORD).all()


@pytest.mark.parametrize("mode", MODES)
def test_the_words_are_learned(with_words: Path, tiny_encoder: Path, tmp_path: Path, mode: str) -> None:
    trainer = trainer_of(with_words, tiny_encoder, tmp_path / "run", **MODES[mode])
    assert precision_at_1(trainer) < 0.2
    trainer.fit()
    assert precision_at_1(trainer) > 0.95  # from tokens alone all documents are the same


@pytest.mark.parametrize("mode", MODES)
def test_a_resumed_training_ends_in_the_same_bits(
    with_words: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    changes = {**MODES[mode], "epochs": 2, "checkpoint_minutes": 0.0}
    whole = trainer_of(with_words, tiny_encoder, tmp_path / "whole", **changes)
    whole.fit()
    fit_until(trainer_of(with_words, tiny_encoder, tmp_path / "cut", **changes), 7, monkeypatch)
    resumed = trainer_of(with_words, tiny_encoder, tmp_path / "cut", **changes)
    resumed.fit()
    expected, got = states(whole), states(resumed)
    assert any(name == "head.word_weight" for name in expected)
    for name, tensor in expected.items():
        assert same_bits(tensor, got[name]), name


@pytest.mark.parametrize("mode", MODES)
def test_the_weights_do_not_depend_on_the_chunk(
    with_words: Path, tiny_encoder: Path, tmp_path: Path, mode: str
) -> None:
    found = []
    for chunk in (7, 1000):
        trainer = trainer_of(
            with_words, tiny_encoder, tmp_path / f"{chunk}", **MODES[mode], epochs=1, label_chunk=chunk
        )
        trainer.fit()
        found.append(states(trainer)["head.word_weight"].float())
    assert float(found[0].abs().max()) > 0.1
    small, large = found
    assert torch.allclose(small, large, rtol=0.02, atol=0.02 * float(small.abs().max()))


def test_shards_without_words_are_refused(shards: Path) -> None:
    documents = Shards(shards, "train")
    with pytest.raises(XmcpipeError, match=r"the shards in .* have no words"):
        choose_words(documents, np.arange(4), Shards(shards, "label"), NUM_LABELS, 3)


def test_settings_that_cannot_work_are_refused() -> None:
    for table, message in (
        ({"head": {"kind": "dense", "word_fan_in": 4}}, "expected a sparse head with word_fan_in > 0"),
        ({"head": {"word_fan_in": 4}, "accumulation": 2}, "expected accumulation = 1"),
        (
            {"head": {"kind": "dense", "frequent_labels": 4}},
            "expected a sparse head with frequent_labels > 0",
        ),
        ({"head": {"bias": False, "frequent_labels": 4}}, "expected bias = true with frequent_labels > 0"),
    ):
        with pytest.raises(XmcpipeError, match=message):
            from_table(TrainConfig, table, "train")
