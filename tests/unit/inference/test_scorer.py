"""Batches of a device: their size, their order, and the rounding of weights in advance."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xmcpipe.data.shards.batches import token_batches
from xmcpipe.inference.scorer import Scorer
from xmcpipe.modeling.devices import autocast_dtype
from xmcpipe.modeling.saved import load_model


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=30),
    batch_size=st.integers(1, 9),
    max_tokens=st.integers(1, 100),
)
def test_token_batches_hold_every_row_once_and_keep_both_limits(
    lengths: list[int], batch_size: int, max_tokens: int
) -> None:
    array = np.array(lengths, np.int32)
    batches = token_batches(array, batch_size, max_tokens)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    for rows in batches:
        assert len(rows) <= batch_size
        assert len(rows) == 1 or len(rows) * array[rows].max() <= max_tokens
    assert (np.diff(array[np.concatenate(batches)]) <= 0).all()


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_weights_rounded_in_advance_give_the_same_embedding(model_folder: Path, precision: str) -> None:
    ids, mask = np.array([[2, 9, 11, 12, 3], [2, 8, 7, 3, 0]]), np.array([[1] * 5, [1, 1, 1, 1, 0]])
    model, _ = load_model(model_folder)
    dtype = autocast_dtype(precision, "cpu")
    with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype is not None):
        expected = model.embed(torch.from_numpy(ids), torch.from_numpy(mask))
    scorer = Scorer(model, torch.device("cpu"), precision, 1000)
    assert torch.equal(scorer.embed(ids, mask), expected)


def test_threads_change_nothing(model_folder: Path) -> None:
    random = np.random.default_rng(1)
    lengths = random.integers(1, 16, 300).astype(np.int32)
    ids = random.integers(4, 200, (300, 16))
    found = []
    before = torch.get_num_threads()
    for threads in (1, 3):
        torch.set_num_threads(threads)
        scorer = Scorer(load_model(model_folder)[0], torch.device("cpu"), "float32", 1000)

        def tokens(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            mask = np.arange(16) < lengths[rows][:, None]
            return np.where(mask, ids[rows], 0), mask.astype(np.int64)

        found.append(scorer.embed_all(lengths, 64, tokens))
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert torch.equal(*found)
    for row in (0, 7, 299):
        one = scorer.embed(ids[[row], : lengths[row]], np.ones((1, lengths[row]), np.int64))
        torch.testing.assert_close(found[0][row], one[0])
