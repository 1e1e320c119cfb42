"""A model with pieces = "max" gives each label the score of its best piece, against each piece by itself."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.small_models import LABELS, write_model
from xmcpipe.config import to_table
from xmcpipe.data.terms import document_terms, terms_of
from xmcpipe.errors import XmcpipeError
from xmcpipe.inference.best_piece import best_of_pieces, distinct_pieces
from xmcpipe.inference.bundle import Bundle
from xmcpipe.inference.selection import Selection
from xmcpipe.modeling.encoder import load_tokenizer
from xmcpipe.modeling.saved import load_model
from xmcpipe.training.encoder_config import EncoderConfig

PIECE, MOST = 9, 4
TEXTS = [
    "word1 word2",
    " ".join(f"word{n}" for n in range(20)),
    "",
    " ".join(f"word{n}" for n in range(60, 150)),  # longer than all pieces together
    " ".join(f"word{n}" for n in range(30, 42)),
]


@pytest.fixture(scope="module")
def folder(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of documents in up to four pieces of nine tokens, which scores the best of them."""
    written = write_model(tmp_path_factory.mktemp("pieces") / "model", tiny_encoder, PIECE)
    change(written, max_pieces=MOST, pieces="max")
    return written


def change(folder: Path, **keys: Any) -> None:
    table = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**table, **keys}))


def expected_scores(folder: Path, text: str) -> torch.Tensor:
    """The scores of all labels: each piece is encoded alone, and scored with the layer as a dense matrix."""
    model, _ = load_model(folder)
    cut = load_tokenizer(str(folder / "tokenizer"))(
        text, truncation=True, max_length=PIECE, return_overflowing_tokens=True
    )["input_ids"][:MOST]
    dense = torch.zeros(LABELS, model.head.shape.in_features)
    dense.scatter_(1, model.head.index.long(), model.head.weight.float())
    scores = []
    for piece in cut:
        ids = torch.tensor([piece])
        with torch.no_grad():
            hidden = model.encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        scores.append(dense @ hidden[0].mean(0) + model.head.bias)
    return torch.stack(scores).amax(0).detach()


@pytest.mark.parametrize("batch_size", [1, 2, 8])
@pytest.mark.parametrize("k", [3, LABELS])
def test_each_label_has_the_score_of_its_best_piece(folder: Path, batch_size: int, k: int) -> None:
    top = Bundle.load(folder).top(TEXTS, Selection(k), batch_size)
    for row, text in enumerate(TEXTS):
        if not text:
            assert (top.labels[row] == -1).all()
            continue
        scores, order = expected_scores(folder, text).sort(descending=True, stable=True)
        np.testing.assert_allclose(top.scores[row], scores[:k].numpy(), atol=1e-5)
        own = dict(zip(order.tolist(), scores.tolist(), strict=True))
        assert len(set(top.labels[row].tolist())) == k
        found = [own[label] for label in top.labels[row].tolist()]
        np.testing.assert_allclose(found, top.scores[row], atol=1e-5)


def test_a_short_text_has_the_scores_of_the_mean_and_a_long_one_others(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "mean")
    change(tmp_path / "mean", pieces="mean")
    best, mean = (Bundle.load(each).top(TEXTS, Selection(3), 4) for each in (folder, tmp_path / "mean"))
    np.testing.assert_allclose(best.scores[0], mean.scores[0], atol=1e-6)
    assert (best.scores[1] > mean.scores[1] + 1e-4).any()
    of_best, of_mean = (Bundle.load(each).embed(TEXTS) for each in (folder, tmp_path / "mean"))
    np.testing.assert_array_equal(of_best, of_mean)  # an embedding is the mean in both


def test_an_unknown_way_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "other")
    change(tmp_path / "other", pieces="median")
    with pytest.raises(XmcpipeError, match="unknown pieces 'median'"):
        load_model(tmp_path / "other")


def test_only_the_best_piece_changes_the_fingerprint_of_a_training() -> None:
    assert "pieces" not in to_table(EncoderConfig(), keys="identity")
    assert to_table(EncoderConfig(pieces="max"), keys="identity")["pieces"] == "max"


@given(data=st.data(), documents=st.integers(1, 5), k=st.integers(1, 6))
def test_the_best_of_pieces_is_the_largest_score_of_each_label(
    data: st.DataObject, documents: int, k: int
) -> None:
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=documents, max_size=documents))
    scores = np.array(
        data.draw(st.lists(st.lists(st.integers(-3, 3), min_size=6, max_size=6), min_size=sum(sizes),
                           max_size=sum(sizes))), np.float32
    )  # fmt: skip
    rows = np.repeat(np.arange(documents), sizes)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k].astype(np.int32)
    labels, found = best_of_pieces(order, np.take_along_axis(scores, order, 1), rows, documents)
    for document in range(documents):
        largest = scores[rows == document].max(0)
        best = sorted(range(6), key=lambda label: (-largest[label], label))[:k]
        assert labels[document].tolist() == best
        assert found[document].tolist() == largest[best].tolist()


def test_pieces_that_repeat_the_first_one_are_left_out() -> None:
    embedding = torch.tensor([[[1.0], [2.0], [1.0]], [[3.0], [3.0], [3.0]]])
    pieces, documents = distinct_pieces(embedding)
    assert pieces.flatten().tolist() == [1.0, 2.0, 3.0]
    assert documents.tolist() == [0, 0, 1]


@settings(max_examples=25)
@given(rows=st.lists(st.integers(0, 3), max_size=8))
def test_terms_of_rows_are_those_of_their_texts(rows: list[int]) -> None:
    texts = ["a b a", "", "c", "b c d e"]
    found = terms_of(document_terms(texts, pairs=True), np.array(rows, np.int64))
    expected = document_terms([texts[row] for row in rows], pairs=True)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
