"""The embedding of a document in pieces, against each piece encoded by itself."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xmcpipe.modeling.encoder import Pooling, load
from xmcpipe.modeling.pieces import embed_documents

LENGTHS = st.lists(st.integers(1, 23), min_size=1, max_size=5)


@pytest.fixture(scope="module")
def encoder(tiny_encoder: Path) -> torch.nn.Module:
    loaded: torch.nn.Module = load(str(tiny_encoder)).eval()
    return loaded


def padded(lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Random token ids and the mask of documents of these lengths."""
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(4, 200, mask.shape, generator=torch.Generator().manual_seed(len(lengths)))
    return ids * mask, mask


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@settings(max_examples=25)
@given(lengths=LENGTHS, piece=st.integers(1, 8))
def test_it_is_the_mean_over_the_pieces(
    encoder: torch.nn.Module, pooling: Pooling, lengths: list[int], piece: int
) -> None:
    ids, mask = padded(lengths)
    found = embed_documents(encoder, ids, mask, pooling, piece)
    for row, length in enumerate(lengths):
        states = [
            encoder(ids[row : row + 1, begin : min(begin + piece, length)]).last_hidden_state[0]
            for begin in range(0, length, piece)
        ]
        used = [state[:1] for state in states] if pooling == "cls" else states
        expected = torch.cat(used).mean(0)
        torch.testing.assert_close(found[row], expected, rtol=1e-4, atol=1e-5)


def test_documents_of_one_piece_are_encoded_as_without_pieces(encoder: torch.nn.Module) -> None:
    ids, mask = padded([7, 3, 8])
    assert torch.equal(
        embed_documents(encoder, ids, mask, "mean", 8), embed_documents(encoder, ids, mask, "mean")
    )


def test_every_piece_has_a_gradient(encoder: torch.nn.Module) -> None:
    ids, mask = torch.arange(4, 16)[None], torch.ones(1, 12, dtype=torch.long)
    words = next(value for name, value in encoder.named_parameters() if "word_embeddings" in name)
    embedding = embed_documents(encoder, ids, mask, "mean", 5)
    # Not the sum of the embedding: layer normalisation keeps it at 0, whatever the words are.
    (gradient,) = torch.autograd.grad(embedding[:, ::2].sum(), words)
    assert gradient[4:16].abs().sum(1).min() > 1e-3
    assert gradient[16:].abs().max() == 0


def test_the_device_meta_plans_for_full_pieces(encoder: torch.nn.Module) -> None:
    seen: list[torch.Size] = []

    def watched(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> object:
        seen.append(input_ids.shape)
        return type("Encoded", (), {"last_hidden_state": torch.empty(*input_ids.shape, 32, device="meta")})

    ids = torch.empty(3, 12, dtype=torch.long, device="meta")
    assert embed_documents(watched, ids, ids, "mean", 5).shape == (3, 32)
    assert seen == [(9, 5)]
