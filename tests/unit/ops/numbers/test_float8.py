"""Weights of 8 bits: stored times 64, rounded at random without bias, read alike by torch and numba."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from tests.unit.ops.ffi_cases import IMPLEMENTATIONS, implementation, make
from xmcpipe.ops import reference
from xmcpipe.ops.checks import check_layer, sum_dtype
from xmcpipe.ops.ffi import ffi_grad_features, ffi_scores
from xmcpipe.ops.layer import SparseLayer
from xmcpipe.ops.rewire import ffi_rewire_, magnitude_bits, strengths
from xmcpipe.ops.rounding import FLOAT8, FLOAT8_MAX, decoded, encoded, random_bits, round_stochastically
from xmcpipe.ops.topk import ffi_topk

CODES = torch.arange(256, dtype=torch.int32).to(torch.uint8)
NOT_NUMBERS = (0x7F, 0xFF)
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


def exact(code: int) -> float:
    """The weight of an 8-bit code, by E4M3's definition: 4 bits of exponent, biased by 7, 3 of fraction."""
    exponent, fraction = code >> 3 & 15, code & 7
    magnitude = 2.0 ** (exponent - 7) * (1 + fraction / 8) if exponent else fraction * 2.0**-9
    return (-1.0 if code & 128 else 1.0) * magnitude / 64


WEIGHTS = torch.tensor(sorted({exact(code) for code in range(256) if code not in NOT_NUMBERS}))


def test_a_code_is_a_64th_of_its_number() -> None:
    weights = decoded(CODES.view(FLOAT8))
    for code in range(256):
        if code in NOT_NUMBERS:
            assert weights[code].isnan()
        else:
            assert float(weights[code]) == exact(code)
    assert float(WEIGHTS[-1]) == FLOAT8_MAX == 7.0


@given(st.lists(st.tuples(FINITE, st.integers(0, 65_535)), min_size=1))
def test_rounding_gives_a_neighbour(pairs: list[tuple[float, int]]) -> None:
    values = torch.tensor([value for value, _ in pairs], dtype=torch.float32)
    random = torch.tensor([bits for _, bits in pairs], dtype=torch.int32)
    rounded = decoded(round_stochastically(values, random, FLOAT8))
    inside = values.clamp(-FLOAT8_MAX, FLOAT8_MAX)
    place = torch.searchsorted(WEIGHTS, inside)
    above = WEIGHTS[place]
    below = torch.where(above == inside, above, WEIGHTS[(place - 1).clamp(min=0)])
    assert ((rounded == below) | (rounded == above)).all()


@pytest.mark.parametrize("exponent", range(-24, 3))
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_mean_of_all_draws_is_the_value(exponent: int, sign: float, device: str) -> None:
    """At every exponent, also below the normal numbers: 2^-12 is the smallest normal weight."""
    random = torch.arange(1 << 16, dtype=torch.int32, device=device)
    for fraction in (1.0, 1.0371, 1.25, 1.4142135, 1.6180339, 1.75, 1.9999):
        value = torch.tensor(sign * fraction * 2.0**exponent)
        rounded = decoded(round_stochastically(value.to(device).expand(1 << 16), random, FLOAT8)).double()
        spacing = max(2.0 ** (exponent - 3), 2.0**-15)
        if abs(float(value)) <= FLOAT8_MAX:
            assert abs(float(rounded.mean() - value.double())) <= spacing * 2.0**-16


def test_weights_that_it_holds_are_unchanged(device: str) -> None:
    codes = torch.tensor([code for code in range(256) if code not in (*NOT_NUMBERS, 128)], dtype=torch.uint8)
    weights = decoded(codes.to(device).view(FLOAT8))
    for bits in (0, 1, 0x8000, 0xFFFF):
        random = torch.full(weights.shape, bits, dtype=torch.int32, device=device)
        again = round_stochastically(weights, random, FLOAT8)
        assert torch.equal(again.view(torch.uint8).cpu(), codes)
    assert torch.equal(encoded(weights, FLOAT8).view(torch.uint8).cpu(), codes)


def test_what_is_too_large_becomes_the_largest(device: str) -> None:
    values = torch.tensor([1e30, -8.0, torch.inf, torch.nan], device=device)
    rounded = decoded(round_stochastically(values, torch.zeros(4, dtype=torch.int32, device=device), FLOAT8))
    assert rounded[:3].tolist() == [7.0, -7.0, 7.0]
    assert rounded[3].isnan()
    assert decoded(encoded(values[:3], FLOAT8)).tolist() == [7.0, -7.0, 7.0]


@pytest.mark.parametrize("start", [2.0**-14, 2.0**-11, 0.25])
def test_small_steps_add_up(start: float, device: str) -> None:
    """Hundred steps of a hundredth of the spacing move a weight by one spacing, on average."""
    spacing = max(start / 8, 2.0**-15)
    weight = encoded(torch.full((64, 64), start, device=device), FLOAT8)
    labels = torch.arange(64, device=device)
    for step in range(100):
        random = random_bits(3, torch.tensor(step, device=device), labels, 64)
        weight = round_stochastically(decoded(weight) + spacing / 100, random, FLOAT8)
    moved = (decoded(weight).double().mean() - start) / spacing
    assert abs(float(moved) - 1.0) < 0.08  # its deviation is 1 / sqrt(4096) = 0.016


@given(st.lists(st.tuples(st.floats(-10, 10, width=32), st.integers(0, 65_535)), min_size=1, max_size=40))
def test_numba_rounds_and_reads_the_same_bits(pairs: list[tuple[float, int]]) -> None:
    from xmcpipe.ops.cpu import rounding

    pairs = [*pairs, *pairs]  # an even number of weights
    values = torch.tensor([value for value, _ in pairs], dtype=torch.float32)
    random = torch.tensor([bits for _, bits in pairs], dtype=torch.int32)
    out: NDArray[Any] = np.empty(len(pairs) // 2, np.uint16)
    rounding.round_row(values.numpy(), random.numpy().view(np.uint32), rounding.KINDS[FLOAT8], out)
    expected = round_stochastically(values, random, FLOAT8)
    assert np.array_equal(out.view(np.uint8), expected.view(torch.uint8).numpy())
    read = np.empty(len(pairs), np.float32)
    rounding.decode(out, rounding.KINDS[FLOAT8], read)
    assert np.array_equal(read, decoded(expected).numpy())


def test_numba_reads_every_code() -> None:
    from xmcpipe.ops.cpu import rounding

    read = np.empty(256, np.float32)
    rounding.decode(CODES.numpy().view(np.uint16), rounding.KINDS[FLOAT8], read)
    assert np.array_equal(read, decoded(CODES.view(FLOAT8)).numpy(), equal_nan=True)


def layer_of(num_labels: int, fan_in: int, group: int = 1) -> tuple[SparseLayer, Tensor, Tensor]:
    """A layer of 8 bits with features [5, 40] and a gradient of its scores."""
    features, weight, index, grad = make(5, 40, num_labels, fan_in, seed=4)
    index = index[: -(-num_labels // group)]
    return SparseLayer(encoded(0.3 * weight, FLOAT8), index, group=group), features.float(), grad.float()


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize("group", [1, 8])
@pytest.mark.parametrize("fan_in", [7, 8])
def test_products_are_those_of_the_values(name: str, group: int, fan_in: int) -> None:
    layer, features, grad = layer_of(50, fan_in, group)
    values = decoded(layer.weight).double()
    with implementation(name):
        scores = ffi_scores(features, layer.weight, layer.index, group)
        grad_features = ffi_grad_features(grad, layer.weight, layer.index, 40, group)
        labels, best = ffi_topk(features, layer.weight, layer.index, None, 5, 0, 16, group)
    exact_scores = reference.ffi_scores(features.double(), values, layer.index, group)
    torch.testing.assert_close(scores.double(), exact_scores, atol=1e-5, rtol=1e-5)
    dense = reference.dense_weight(values, layer.index, 40, group)
    torch.testing.assert_close(grad_features.double(), grad.double() @ dense, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(best.double(), exact_scores.gather(1, labels), atol=1e-5, rtol=1e-5)


def test_rewiring_compares_values_and_clears_bits() -> None:
    layer, _, _ = layer_of(30, 8)
    same = SparseLayer(decoded(layer.weight), layer.index.clone())
    assert torch.equal(strengths(layer.weight, 1), strengths(same.weight, 1))
    cut = int(magnitude_bits(torch.tensor([0.1])))
    momentum = torch.ones(30, 8, dtype=torch.bfloat16)
    pruned = [
        int(ffi_rewire_(each.weight, each.index, [momentum.clone()], cut, 0, 3, 1, 0, 40))
        for each in (layer, same)
    ]
    assert pruned[0] == pruned[1] > 0
    assert torch.equal(decoded(layer.weight), same.weight)
    assert torch.equal(layer.index.int(), same.index.int())


def test_what_is_refused() -> None:
    layer, features, _ = layer_of(30, 8)
    check_layer(layer, 40)
    with pytest.raises(ValueError, match=r"expected momentum bfloat16, got torch\.float8"):
        check_layer(layer._replace(momentum=layer.weight), 40)
    with pytest.raises(ValueError, match="expected bfloat16, float16 or float32 each"):
        sum_dtype(features.to(FLOAT8), weight=layer.weight)
