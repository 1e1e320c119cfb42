"""The text of kernels/ffi_rewire.cu on the host: bit for bit the topology, weights and moments of the
operator's torch implementation, and so of `topology.regrow`.

L labels, K fan-in, D features.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.kernels.cases.batch import (
    BFLOAT16,
    DTYPES,
    FLOAT16,
    FLOAT32,
    Array,
    assert_bands,
    banded,
    distinct_indices,
    far,
    stored,
    to_array,
)
from tests.kernels.host.kernel import HostKernel
from xmcpipe.ops.layer import Rewiring
from xmcpipe.ops.rewire import ffi_rewire_, magnitude_bits
from xmcpipe.ops.topology import regrow
from xmcpipe.training.rewiring import Cut, OneProcess, cut_fraction, cut_threshold

SLACK = 256
SEED, REWIRING, FIRST_LABEL = 2**41 + 9, 3, 2**33 - 7
Formats = tuple[int, int]  # of weights, of moments
TIGHT = {"MARGIN": 0, "SLACK": 0}  # the first guess of the limit seldom passes the right number of keys


@dataclass
class Layer:
    """Weights, indices and up to two moments, as tensors."""

    weight: Tensor  # [L, K]
    index: Tensor  # [L, K] uint16
    moments: list[Tensor]
    num_features: int

    @property
    def tensors(self) -> list[Tensor]:
        return [self.weight, self.index, *self.moments]

    def copy(self) -> "Layer":
        weight, index, *moments = (tensor.clone() for tensor in self.tensors)
        return Layer(weight, index, moments, self.num_features)


def make_layer(
    labels: int, fan_in: int, features: int, formats: Formats = (1, 1), moments: int = 2, seed: int = 0
) -> Layer:
    """Weights of a few magnitudes, zeros of both signs among them."""
    random = torch.Generator().manual_seed(seed)
    weight_LK = (torch.randn(labels, fan_in, generator=random) * 4).round() / 64
    index_LK = distinct_indices(labels, features, fan_in, random).to(torch.int32).to(torch.uint16)
    drawn = [torch.randn(labels, fan_in, generator=random).to(DTYPES[formats[1]]) for _ in range(moments)]
    return Layer(stored(weight_LK, formats[0]), index_LK, drawn, features)


def launch(
    arrays: list[Array],
    cut: Cut,
    num_features: int,
    formats: Formats = (1, 1),
    blocks: int = 3,
    order: int = 0,
    tight: bool = False,
    first: int = 0,
) -> int:
    """The kernel on weight, index and moments from row `first` on, in place; the number replaced."""
    end, fan_in = arrays[0].shape
    common = {"weight_LK": arrays[0], "bits": cut.bits, "begin": first, "end": end, "fan_in": fan_in}
    before = None
    if cut.ties:
        ties = banded(np.full(end, -1, dtype=np.int64))
        HostKernel("ffi_rewire_ties", {"WEIGHT": formats[0]})((blocks,), 0, order, ties_L=ties, **common)
        before = banded(ties.cumsum() - ties)
    replaced = banded(np.full(blocks, -1, dtype=np.int64))
    macros = {"WEIGHT": formats[0], "MOMENT": formats[1]} | (TIGHT if tight else {})
    keys = fan_in + (0 if tight else SLACK)
    HostKernel("ffi_rewire", macros)(
        (blocks,),
        8 * keys + 2 * fan_in + 4 * -(-num_features // 32),
        order,
        **dict(zip(("index_LK", "moment0_LK", "moment1_LK"), arrays[1:], strict=False)),
        ties_before_L=before,
        replaced=replaced,
        ties=cut.ties,
        seed=SEED,
        rewiring=REWIRING,
        first_label=FIRST_LABEL - first,  # labels have the same numbers wherever their rows are
        num_features=num_features,
        **common,
    )
    assert_bands(replaced)
    return int(replaced.sum())


def assert_same(
    layer: Layer,
    cut: Cut,
    formats: Formats = (1, 1),
    blocks: int = 3,
    order: int = 0,
    tight: bool = False,
) -> int:
    """The kernel changes the layer like the operator does; returns the number replaced."""
    expected, arrays = layer.copy(), [to_array(tensor) for tensor in layer.tensors]
    settings = Rewiring(cut.bits, cut.ties, SEED, REWIRING, FIRST_LABEL, layer.num_features)
    replaced = int(ffi_rewire_(expected.weight, expected.index, expected.moments, *settings))
    assert launch(arrays, cut, layer.num_features, formats, blocks, order, tight) == replaced
    assert_bands(*arrays)
    for array, tensor in zip(arrays, expected.tensors, strict=True):
        assert np.array_equal(array.view(np.uint8), to_array(tensor).view(np.uint8))
    assert all(len(np.unique(row)) == len(row) for row in arrays[1])
    return replaced


@pytest.mark.parametrize("fraction", [0.03, 0.2, 1.0])
@pytest.mark.parametrize(
    ("labels", "fan_in", "features"),
    [
        (40, 8, 17),
        (33, 16, 16),
        (20, 24, 31),
        (20, 32, 33),
        (12, 72, 129),
        (9, 128, 768),
        (5, 256, 4096),
        (4, 512, 512),
        (4, 504, 513),
        (3, 512, 65_536),
        (5, 8, 65_535),
    ],
)
def test_fraction(labels: int, fan_in: int, features: int, fraction: float) -> None:
    layer = make_layer(labels, fan_in, features, moments=labels % 3, seed=labels)
    cut = cut_fraction(layer.weight, fraction, OneProcess())
    assert assert_same(layer, cut, order=labels) == int(fraction * labels * fan_in)


@pytest.mark.parametrize("formats", [(FLOAT32, FLOAT32), (FLOAT16, FLOAT32), (BFLOAT16, BFLOAT16)])
def test_every_format_and_order_of_lanes(formats: Formats) -> None:
    layer = make_layer(30, 40, 200, formats, seed=1)
    layer.weight[3] = torch.arange(-20, 20) * 2.0**-24  # below float16's least normal number
    layer.weight[4, 5] = torch.nan
    cut = cut_fraction(layer.weight, 0.25, OneProcess())
    for order, blocks in enumerate([1, 7, 40]):
        assert assert_same(layer, cut, formats, blocks, order) == 300
    assert assert_same(layer, cut_threshold(0.05), formats) > 0


def test_rows_that_lose_nothing_are_left_alone() -> None:
    layer = make_layer(20, 16, 50)
    layer.weight.fill_(1.0)
    assert assert_same(layer, cut_threshold(0.5)) == 0
    layer.weight[7, 2] = -0.25
    assert assert_same(layer, cut_threshold(0.5)) == 1


@pytest.mark.parametrize("ties", [1, 16, 17, 100, 319, 320])
def test_ties_go_by_label_then_place(ties: int) -> None:
    layer = make_layer(20, 16, 50)
    layer.weight.fill_(0.5)
    layer.weight[::3] *= -1.0
    assert assert_same(layer, Cut(int(magnitude_bits(torch.tensor(0.5))), ties)) == ties


def test_the_limit_is_bisected_if_the_guess_fails() -> None:
    for labels, fan_in, features in [(40, 8, 64), (40, 8, 8), (10, 64, 66), (3, 8, 5000)]:
        layer = make_layer(labels, fan_in, features, seed=2)
        for fraction in (0.3, 1.0):
            assert_same(layer, cut_fraction(layer.weight, fraction, OneProcess()), tight=True)


def test_the_places_are_those_of_regrow() -> None:
    layer, cut = make_layer(15, 32, 90, moments=0, seed=3), cut_threshold(0.03)
    pruned = magnitude_bits(layer.weight) < cut.bits
    expected = regrow(layer.index, pruned, SEED, REWIRING, torch.arange(15) + FIRST_LABEL, 90)
    weight, index = (to_array(tensor) for tensor in layer.tensors)
    launch([weight, index], cut, 90)
    assert np.array_equal(index, expected.numpy())
    assert not weight[pruned.numpy()].any()


def test_offsets_past_two_to_the_31(tmp_path: Path) -> None:
    layer, first, cut = make_layer(9, 16, 50, seed=4), 2**31 // 16, cut_threshold(0.03)
    near = [to_array(tensor) for tensor in layer.tensors]
    distant = [far(array, first, tmp_path / str(number)) for number, array in enumerate(near)]
    assert launch(distant, cut, 50, first=first) == launch(near, cut, 50) > 0
    assert all(np.array_equal(there[first:], here) for there, here in zip(distant, near, strict=True))


@given(data=st.data())
@settings(max_examples=25)
def test_any_layer(data: st.DataObject) -> None:
    fan_in = 8 * data.draw(st.integers(1, 12))
    features = data.draw(st.integers(fan_in, 3 * fan_in + 20))
    layer = make_layer(data.draw(st.integers(1, 12)), fan_in, features, seed=data.draw(st.integers(0, 99)))
    cut = cut_fraction(layer.weight, data.draw(st.floats(0.0, 1.0)), OneProcess())
    assert_same(layer, cut, blocks=data.draw(st.integers(1, 5)), order=data.draw(st.integers(0, 9)))
