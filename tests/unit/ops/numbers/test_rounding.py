"""Stochastic rounding: one of the two neighbours, right on average, the same bits in torch and in numba."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from xmcpipe.ops.philox import random_words
from xmcpipe.ops.rounding import STREAM_ROUNDING, random_bits, round_stochastically

SHORT = [torch.bfloat16, torch.float16]
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


@cache
def finite(dtype: torch.dtype) -> Tensor:
    """Every finite number of the dtype, as float64, ascending."""
    values = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16).view(dtype).double()
    unique: Tensor = torch.unique(values[values.isfinite()])
    return unique


def neighbours(values: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The largest number of the dtype that is not above, and the smallest that is not below."""
    grid = finite(dtype)
    place = torch.searchsorted(grid, values.double().clamp(grid[0], grid[-1]))
    above = grid[place]
    return torch.where(above == values.double(), above, grid[(place - 1).clamp(min=0)]), above


@pytest.mark.parametrize("dtype", SHORT)
@given(st.lists(st.tuples(FINITE, st.integers(0, 65_535)), min_size=1))
def test_gives_a_neighbour(dtype: torch.dtype, pairs: list[tuple[float, int]]) -> None:
    values = torch.tensor([value for value, _ in pairs], dtype=torch.float32)
    random = torch.tensor([bits for _, bits in pairs], dtype=torch.int32)
    rounded = round_stochastically(values, random, dtype).double()
    below, above = neighbours(values, dtype)
    assert ((rounded == below) | (rounded == above)).all()
    assert rounded.isfinite().all()


@pytest.mark.parametrize("dtype", SHORT)
def test_numbers_that_the_dtype_holds_are_unchanged(dtype: torch.dtype, device: str) -> None:
    every = finite(dtype).to(dtype).to(device)
    # Not the last two draws: the sum in float32 rounds them up for a float16 in [2^-15, 2^-14).
    for bits in (0, 1, 0x7FFF, 0xFFFD):
        random = torch.full(every.shape, bits, dtype=torch.int32, device=device)
        assert torch.equal(round_stochastically(every.float(), random, dtype), every)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [(dtype, value) for dtype in SHORT for value in (0.3, -1.2345, 1e-3, 3.1e-5, 1000.3, 60001.0)]
    + [(torch.float16, value) for value in (5e-5, -4.4e-7, 6e-8, 2e-8)]  # below its normal numbers
    + [(torch.bfloat16, value) for value in (5.9e-39, -1e-39)],
)
def test_is_right_on_average(dtype: torch.dtype, value: float, device: str) -> None:
    number = 1 << 16  # every possible draw once: the mean is exact up to the draws' own 16 bits
    random = torch.arange(number, dtype=torch.int32, device=device)
    values = torch.full((number,), value, device=device)
    rounded = round_stochastically(values, random, dtype).double()
    spacing = float(rounded.max() - rounded.min())
    assert abs(float(rounded.mean()) - float(values[0].double())) <= spacing * 2.0**-13


@pytest.mark.parametrize("dtype", SHORT)
def test_nan_stays_nan(dtype: torch.dtype, device: str) -> None:
    values = torch.tensor([torch.nan, -torch.nan, torch.inf, -torch.inf], device=device)
    rounded = round_stochastically(values, torch.full((4,), 0xFFFF, dtype=torch.int32, device=device), dtype)
    assert rounded[:2].isnan().all()
    assert rounded[2:].tolist() == [torch.finfo(dtype).max, torch.finfo(dtype).min]


def test_random_bits_are_halves_of_the_words_of_philox(device: str) -> None:
    labels = torch.tensor([5, 2**40 + 3], device=device)
    step = torch.tensor(9, device=device)
    bits = random_bits(7, step, labels, 5)
    words = random_words(7, STREAM_ROUNDING + 9, labels, 3)
    assert torch.equal(bits[:, 0::2], (words & 0xFFFF).int())
    assert torch.equal(bits[:, 1::2], (words >> 16)[:, :2].int())


@pytest.mark.parametrize("dtype", SHORT)
def test_random_steps_are_unbiased(dtype: torch.dtype, device: str) -> None:
    """As in training: two hundred steps of a two-hundredth of the last place each."""
    weight = torch.ones(64, 64, device=device)
    labels = torch.arange(64, device=device)
    step_size = torch.finfo(dtype).eps / 200
    for step in range(200):
        random = random_bits(3, torch.tensor(step, device=device), labels, 64)
        weight = round_stochastically(weight + step_size, random, dtype).float()
    moved = (weight.double().mean() - 1.0) / torch.finfo(dtype).eps
    assert (
        abs(float(moved) - 1.0) < 0.1
    )  # its deviation is 1 / sqrt(4096) = 0.016; rounded to nearest it would be 0


@pytest.mark.parametrize("dtype", [torch.float32, *SHORT])
@given(st.lists(st.tuples(FINITE, st.integers(0, 65_535)), min_size=1, max_size=40))
def test_numba_rounds_to_the_same_bits(dtype: torch.dtype, pairs: list[tuple[float, int]]) -> None:
    from xmcpipe.ops.cpu import rounding

    values = torch.tensor([value for value, _ in pairs], dtype=torch.float32)
    random = torch.tensor([bits for _, bits in pairs], dtype=torch.int32)
    kind, width = rounding.KINDS[dtype], np.uint32 if dtype == torch.float32 else np.uint16
    signed = torch.int32 if dtype == torch.float32 else torch.int16
    expected = values if dtype == torch.float32 else round_stochastically(values, random, dtype)
    out: NDArray[Any] = np.empty(len(pairs), width)
    rounding.round_row(values.numpy(), random.numpy().view(np.uint32), kind, out)
    assert np.array_equal(out, expected.view(signed).numpy().view(width))
    rounding.nearest_row(values.numpy(), kind, out)
    assert np.array_equal(out, values.to(dtype).view(signed).numpy().view(width))
    decoded = np.empty(len(pairs), np.float32)
    rounding.decode(out, kind, decoded)
    assert np.array_equal(decoded, values.to(dtype).float().numpy())


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**31 - 2), st.integers(0, 2**62), st.integers(1, 40))
def test_numba_draws_the_same_bits(seed: int, step: int, label: int, num_places: int) -> None:
    from xmcpipe.ops.cpu.rounding import random_row

    random = np.empty(-(-num_places // 8) * 8, np.uint32)
    random_row(np.uint64(seed), np.uint64(STREAM_ROUNDING + step), np.uint64(label), random)
    expected = random_bits(seed, torch.tensor(step), torch.tensor([label]), num_places)
    assert np.array_equal(random[:num_places], expected[0].numpy())


def test_other_types_are_refused() -> None:
    with pytest.raises(ValueError, match="bfloat16, float16 or float8"):
        round_stochastically(torch.ones(1), torch.zeros(1, dtype=torch.int32), torch.float32)
