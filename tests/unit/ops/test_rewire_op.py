"""Rewiring as an operator: what a cut names goes, and grows again as `topology.regrow` says."""

import pytest
import torch
from ffi_cases import FLOATS, make
from hypothesis import given
from hypothesis import strategies as st

from xmcpipe.ops import rewire
from xmcpipe.ops.rewire import ffi_rewire_, magnitude_bits
from xmcpipe.ops.topology import regrow

NUM_FEATURES, NUM_LABELS, FAN_IN = 24, 30, 5


def layer(values, dtype, device):
    weight = torch.tensor(values, device=device).view(NUM_LABELS, FAN_IN).to(dtype)
    index = make(1, NUM_FEATURES, NUM_LABELS, FAN_IN)[2].to(device)
    moments = [torch.ones(NUM_LABELS, FAN_IN, dtype=kind, device=device) for kind in (dtype, torch.bfloat16)]
    return weight, index, moments


@given(
    st.lists(
        st.sampled_from([0.0, -0.0, 0.25, -0.25, 0.5, -1.0]),
        min_size=NUM_LABELS * FAN_IN,
        max_size=NUM_LABELS * FAN_IN,
    ),
    st.sampled_from(FLOATS),
    st.sampled_from([0.0, 0.25, 0.5, 2.0]),
    st.integers(0, NUM_LABELS * FAN_IN),
    st.integers(1, NUM_LABELS),
)
def test_equals_regrowth_of_the_whole(device, values, dtype, cut, ties, rows):
    """With many ties, whatever the number of rows that are edited at a time."""
    weight, index, moments = layer(values, dtype, device)
    bits = int(magnitude_bits(torch.tensor(cut)))
    magnitude = weight.float().abs()
    tied = magnitude == cut
    pruned = (magnitude < cut) | (tied & (tied.flatten().cumsum(0).view_as(tied) <= ties))
    labels = torch.arange(NUM_LABELS, device=device) + 70
    expected = regrow(index, pruned, 9, 4, labels, NUM_FEATURES)
    kept = weight.masked_fill(pruned, 0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rewire, "chunk_rows", lambda num_features: rows)
        replaced = ffi_rewire_(weight, index, moments, bits, ties, 9, 4, 70, NUM_FEATURES)
    assert int(replaced) == int(pruned.sum())
    assert replaced.dtype == torch.int64
    assert torch.equal(index.int(), expected.int())
    assert torch.equal(weight, kept)
    for moment in moments:
        assert torch.equal(moment.float(), (~pruned).float())


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_opcheck(dtype, device):
    values = torch.linspace(-1, 1, NUM_LABELS * FAN_IN).tolist()
    weight, index, moments = layer(values, dtype, device)
    bits = int(magnitude_bits(torch.tensor(0.5)))
    torch.library.opcheck(ffi_rewire_, (weight, index, moments, bits, 3, 9, 1, 0, NUM_FEATURES))
    torch.library.opcheck(ffi_rewire_, (weight, index, [], bits, 0, 9, 1, 0, NUM_FEATURES))


def test_wrong_arguments_are_refused():
    weight, index, _ = layer([0.0] * NUM_LABELS * FAN_IN, torch.float32, "cpu")
    with pytest.raises(ValueError, match="moments"):
        ffi_rewire_(weight, index, [weight[:, 1:].clone()], 0, 0, 9, 1, 0, NUM_FEATURES)
    with pytest.raises(ValueError, match="rewiring"):
        ffi_rewire_(weight, index, [], 0, 0, 9, 0, 0, NUM_FEATURES)
    with pytest.raises(ValueError, match="weight bfloat16"):
        ffi_rewire_(weight.double(), index, [], 0, 0, 9, 1, 0, NUM_FEATURES)
