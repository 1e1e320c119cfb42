"""Rewiring as an operator: the cut's connections are pruned and regrown by `topology.regrow`."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.unit.ops.ffi_cases import FLOATS, make
from xmcpipe.ops import rewire
from xmcpipe.ops.rewire import ffi_rewire_, magnitude_bits
from xmcpipe.ops.topology import regrow

NUM_FEATURES, NUM_LABELS = 24, 30
FAN_INS = [5, 8]  # on a GPU, torch edits K = 5 and the kernels K = 8
MAX_VALUES = NUM_LABELS * max(FAN_INS)


def layer(
    values: list[float], dtype: torch.dtype, device: str, fan_in: int = 5
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Weight, index and two moments."""
    weight = torch.tensor(values[: NUM_LABELS * fan_in], device=device).view(NUM_LABELS, fan_in).to(dtype)
    index = make(1, NUM_FEATURES, NUM_LABELS, fan_in)[2].to(device)
    kinds = (dtype, dtype if fan_in % 8 == 0 else torch.bfloat16)
    moments = [torch.ones(NUM_LABELS, fan_in, dtype=kind, device=device) for kind in kinds]
    return weight, index, moments


@given(
    st.lists(
        st.sampled_from([0.0, -0.0, 0.25, -0.25, 0.5, -1.0]),
        min_size=MAX_VALUES,
        max_size=MAX_VALUES,
    ),
    st.sampled_from(FLOATS),
    st.sampled_from([0.0, 0.25, 0.5, 2.0]),
    st.integers(0, MAX_VALUES),
    st.integers(1, NUM_LABELS),
    st.sampled_from(FAN_INS),
)
def test_equals_regrowth_of_the_whole(
    device: str, values: list[float], dtype: torch.dtype, cut: float, ties: int, rows: int, fan_in: int
) -> None:
    """The operator edits a few rows at a time: the result must not depend on how many, also with ties."""
    weight, index, moments = layer(values, dtype, device, fan_in)
    bits = int(magnitude_bits(torch.tensor(cut)))
    magnitude = weight.float().abs()
    tied = magnitude == cut
    pruned = (magnitude < cut) | (tied & (tied.flatten().cumsum(0).view_as(tied) <= ties))
    labels = torch.arange(NUM_LABELS, device=device) + 70
    expected = regrow(index, pruned, 9, 4, labels, NUM_FEATURES)
    remaining = weight.masked_fill(pruned, 0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rewire, "chunk_rows", lambda num_features: rows)
        replaced = ffi_rewire_(weight, index, moments, bits, ties, 9, 4, 70, NUM_FEATURES)
    assert int(replaced) == int(pruned.sum())
    assert replaced.dtype == torch.int64
    assert torch.equal(index.int(), expected.int())
    assert torch.equal(weight, remaining)
    for moment in moments:
        assert torch.equal(moment.float(), (~pruned).float())


@pytest.mark.parametrize("fan_in", FAN_INS)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_opcheck(dtype: torch.dtype, fan_in: int, device: str) -> None:
    values = torch.linspace(-1, 1, MAX_VALUES).tolist()
    weight, index, moments = layer(values, dtype, device, fan_in)
    bits = int(magnitude_bits(torch.tensor(0.5)))
    torch.library.opcheck(ffi_rewire_, (weight, index, moments, bits, 3, 9, 1, 0, NUM_FEATURES))
    torch.library.opcheck(ffi_rewire_, (weight, index, [], bits, 0, 9, 1, 0, NUM_FEATURES))


@pytest.mark.parametrize("fan_in", FAN_INS)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_by_row_on_every_device(dtype: torch.dtype, fan_in: int, device: str) -> None:
    """The two smallest of each row, of equal ones the first; regrown as `topology.regrow` does."""
    values = (
        torch.randn(MAX_VALUES, generator=torch.Generator().manual_seed(0)).mul(4).round().div(4).tolist()
    )
    weight, index, moments = layer(values, dtype, device, fan_in)
    order = weight.float().abs().argsort(dim=1, stable=True)
    pruned = torch.zeros_like(weight, dtype=torch.bool).scatter_(1, order[:, :2], True)
    labels = torch.arange(NUM_LABELS, device=device) + 70
    expected, remaining = regrow(index, pruned, 9, 4, labels, NUM_FEATURES), weight.masked_fill(pruned, 0.0)
    torch.library.opcheck(ffi_rewire_, (weight, index, moments, 0, 0, 9, 4, 70, NUM_FEATURES, 2))
    replaced = ffi_rewire_(weight, index, moments, 0, 0, 9, 4, 70, NUM_FEATURES, 2)
    assert int(replaced) == 2 * NUM_LABELS
    assert torch.equal(index.int(), expected.int())
    assert torch.equal(weight, remaining)
    for moment in moments:
        assert torch.equal(moment.float(), (~pruned).float())


def test_wrong_arguments_are_refused() -> None:
    weight, index, _ = layer([0.0] * MAX_VALUES, torch.float32, "cpu")
    with pytest.raises(ValueError, match="moments"):
        ffi_rewire_(weight, index, [weight[:, 1:].clone()], 0, 0, 9, 1, 0, NUM_FEATURES)
    with pytest.raises(ValueError, match="rewiring"):
        ffi_rewire_(weight, index, [], 0, 0, 9, 0, 0, NUM_FEATURES)
    with pytest.raises(ValueError, match="expected 0 <= row_count <= K = 5, got 6"):
        ffi_rewire_(weight, index, [], 0, 0, 9, 1, 0, NUM_FEATURES, 6)
    with pytest.raises(ValueError, match="expected weight bfloat16"):
        ffi_rewire_(weight.double(), index, [], 0, 0, 9, 1, 0, NUM_FEATURES)
