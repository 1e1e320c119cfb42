"""The text of kernels/ffi_grad_weight.cu on the host: dW against the dense layer in float64, and the update
bit for bit against the same arithmetic in NumPy, rounded by ops/rounding.py.

For that, features and gradients are small whole numbers: their sums are exact in any order.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.kernels.cases import (
    BFLOAT16,
    BYTES,
    DTYPES,
    FLOAT16,
    FLOAT32,
    Array,
    Case,
    assert_bands,
    banded,
    error,
    far,
    make_case,
    make_gradient,
    poisoned,
    to_array,
    to_tensor,
)
from tests.kernels.host.kernel import HostKernel
from xmcpipe.ops.rounding import random_bits, round_stochastically

THREADS = 256
BOUND = 1e-6  # relative error of norms: sums of float32
SCALE, RATE, DECAY, FACTOR = (np.float32(number) for number in (0.01, 0.3, 0.05, 0.9))
STEP, SEED, FIRST_LABEL = 2**31 - 3, 2**63 + 12345, 2**32 - 7


@dataclass(frozen=True)
class Layer:
    """What an update writes."""

    weight: Array
    momentum: Array | None
    bias: Array | None

    def arrays(self) -> tuple[Array | None, ...]:
        return self.weight, self.momentum, self.bias

    def copy(self) -> "Layer":
        return Layer(*(None if each is None else banded(each) for each in self.arrays()))


@dataclass(frozen=True)
class Variant:
    """A specialisation of the kernel."""

    weight: int = BFLOAT16
    feature: int = BFLOAT16
    group: int = 8
    shared: int = 1
    update: int = 0
    momentum: int = 0

    @property
    def rows(self) -> int:
        return 8 * self.group

    @property
    def tile(self) -> int:
        return THREADS // self.group

    @property
    def momentum_format(self) -> int:
        return BFLOAT16 if self.momentum == 2 else self.weight

    def case(self, batch: int, labels: int, features: int, fan_in: int, seed: int = 0) -> Case:
        whole = bool(self.update)
        return make_case(batch, labels, features, fan_in, self.weight, self.feature, seed=seed, whole=whole)

    def launch(
        self,
        case: Case,
        gradient_LB: Array,
        dweight_LK: Array | None,
        labels: tuple[int, int],
        layer: Layer | None = None,
        order: int = 0,
    ) -> None:
        names = ("WEIGHT", "FEATURE", "GROUP", "SHARED", "UPDATE", "MOMENTUM")
        values = (self.weight, self.feature, self.group, self.shared, self.update, self.momentum)
        kernel = HostKernel("ffi_grad_weight.cu", "ffi_grad_weight", dict(zip(names, values, strict=True)))
        num_features = len(case.x)
        kept = num_features * self.rows * BYTES[self.feature] if self.shared else 0
        arrays = [gradient_LB, case.x, case.index, dweight_LK]
        arrays += layer.arrays() if layer else [None] * 3
        scalars = [banded(np.array([number])) for number in (SCALE, RATE, np.int64(STEP))]
        numbers = [DECAY, FACTOR, np.uint64(SEED), np.int64(FIRST_LABEL), *map(np.int64, labels)]
        sizes = map(np.int32, (case.stride, num_features, case.index.shape[1]))
        kernel((2,), THREADS, kept, [*arrays, *scalars, *numbers, *sizes], order)


def exact_gradient(case: Case, gradient: Tensor, begin: int = 0) -> Tensor:
    """dW [labels, K] of the labels from `begin` on, in float64."""
    index = case.exact.index[begin : begin + gradient.shape[1]]
    return (gradient.T @ case.exact.features).gather(1, index)


def check_gradient(variant: Variant, case: Case, order: int = 0) -> Array:
    """dW is right for all labels; returns it."""
    gradient_LB, gradient = make_gradient(case, len(case.index))
    dweight_LK = poisoned(case.index.shape)
    variant.launch(case, gradient_LB, dweight_LK, (0, len(case.index)), order=order)
    assert_bands(dweight_LK)
    assert error(to_tensor(dweight_LK), exact_gradient(case, gradient)) < BOUND
    return dweight_LK


def make_layer(variant: Variant, case: Case, with_bias: bool = True) -> Layer:
    random = torch.Generator().manual_seed(7)
    momentum = torch.randn(case.index.shape, generator=random).to(DTYPES[variant.momentum_format])
    return Layer(
        banded(case.weight),
        to_array(momentum) if variant.momentum else None,
        banded(case.bias) if with_bias else None,
    )


def updated(
    variant: Variant,
    layer: Layer,
    gradient: Tensor,
    dweight: Tensor,
    labels: tuple[int, int],
    first_label: int = FIRST_LABEL,
) -> Layer:
    """The layer after the step of these labels, in float32 operation by operation."""
    begin, end = labels
    out = layer.copy()
    old = to_tensor(layer.weight[begin:end], variant.weight).float().numpy()
    change = SCALE * dweight.float().numpy() + DECAY * old
    if layer.momentum is not None and out.momentum is not None:
        before = to_tensor(layer.momentum[begin:end], variant.momentum_format).float().numpy()
        change = FACTOR * before + change
        out.momentum[begin:end] = to_array(torch.from_numpy(change).to(DTYPES[variant.momentum_format]))
    fresh = torch.from_numpy(old - RATE * change)
    if variant.weight != FLOAT32:
        own = first_label + torch.arange(begin, end)
        bits = random_bits(SEED, torch.tensor(STEP), own, fresh.shape[1])
        fresh = round_stochastically(fresh, bits, DTYPES[variant.weight])
    out.weight[begin:end] = to_array(fresh)
    if out.bias is not None:
        out.bias[begin:end] -= RATE * SCALE * gradient.sum(0).float().numpy()
    return out


def check_update(
    variant: Variant,
    case: Case,
    begin: int = 0,
    end: int | None = None,
    with_bias: bool = True,
    order: int = 0,
) -> None:
    """Weights and momentum have the very bits they should, also outside [begin, end)."""
    end = len(case.index) if end is None else end
    gradient_LB, gradient = make_gradient(case, end - begin, whole=True)
    dweight = exact_gradient(case, gradient, begin)
    layer = make_layer(variant, case, with_bias)
    wanted = updated(variant, layer, gradient, dweight, (begin, end))
    workspace = poisoned((end - begin, case.index.shape[1])) if case.stride > variant.rows else None
    variant.launch(case, gradient_LB, workspace, (begin, end), layer, order)
    assert layer.weight.tobytes() == wanted.weight.tobytes()
    assert layer.momentum is None or layer.momentum.tobytes() == wanted.momentum.tobytes()
    if layer.bias is not None:
        np.testing.assert_allclose(layer.bias, wanted.bias, rtol=1e-6, atol=1e-6)
    assert_bands(
        *(each for each in (layer.weight, layer.momentum, layer.bias, workspace) if each is not None)
    )


GRADIENTS = [
    Variant(),
    Variant(feature=FLOAT32, group=2),
    Variant(feature=FLOAT16, group=1, shared=0),
]
UPDATES = [
    Variant(update=1, momentum=1),
    Variant(weight=FLOAT16, feature=FLOAT16, group=4, shared=0, update=1, momentum=2),
    Variant(weight=FLOAT32, feature=FLOAT32, group=8, update=1, momentum=1),
    Variant(weight=FLOAT16, feature=FLOAT32, group=1, update=1),
]


@pytest.mark.parametrize("variant", GRADIENTS, ids=str)
@pytest.mark.parametrize("edge", [-1, 0, 1])
def test_gradient_at_every_tile_edge(variant: Variant, edge: int) -> None:
    fan_in = 16 * variant.group + 8 * edge
    case = variant.case(variant.rows + edge, 3 * variant.tile + edge, 150 + edge, fan_in, seed=edge)
    check_gradient(variant, case)


@pytest.mark.parametrize("variant", UPDATES, ids=str)
@pytest.mark.parametrize("edge", [-1, 0, 1])
def test_update_at_every_tile_edge(variant: Variant, edge: int) -> None:
    fan_in = 16 * variant.group + 8 * edge
    case = variant.case(variant.rows + edge, 2 * variant.tile + edge, 150 + edge, fan_in, seed=edge)
    check_update(variant, case)


@pytest.mark.parametrize(
    ("batch", "labels", "features", "fan_in"),
    [(1, 1, 8, 8), (7, 2, 9, 8), (150, 33, 25, 24), (3, 40, 517, 512)],
)
def test_any_shape(batch: int, labels: int, features: int, fan_in: int) -> None:
    check_gradient(GRADIENTS[0], GRADIENTS[0].case(batch, labels, features, fan_in, seed=batch))
    check_update(UPDATES[0], UPDATES[0].case(batch, labels, features, fan_in, seed=batch))


@pytest.mark.parametrize("variant", UPDATES, ids=str)
def test_a_range_of_labels_without_bias(variant: Variant) -> None:
    check_update(variant, variant.case(9, 90, 33, 16), begin=5, end=77, with_bias=False)


@pytest.mark.parametrize("variant", [*GRADIENTS, *UPDATES], ids=str)
def test_bits_depend_on_no_order_of_lanes(variant: Variant) -> None:
    case = variant.case(variant.rows + 5, variant.tile + 3, 40, 24)
    if variant.update:
        for order in range(3):
            check_update(variant, case, order=order)
    else:
        runs = [check_gradient(variant, case, order).tobytes() for order in range(3)]
        assert runs[1:] == runs[:1] * 2


def test_most_features_there_can_be() -> None:
    case = GRADIENTS[2].case(9, 30, 65536, 16)
    assert int(case.exact.index.max()) == 65535
    check_gradient(GRADIENTS[2], case)


def test_weights_past_two_to_the_31(tmp_path: Path) -> None:
    first, labels, variant = 2**31 // 512, 34, UPDATES[0]
    near = variant.case(5, labels, 530, 512)
    gradient_LB, gradient = make_gradient(near, labels, whole=True)
    layer = make_layer(variant, near)
    assert layer.momentum is not None
    assert layer.bias is not None
    far_layer = Layer(
        far(layer.weight, first, tmp_path / "weight"),
        far(layer.momentum, first, tmp_path / "momentum"),
        far(layer.bias[:, None], first, tmp_path / "bias"),
    )
    case = replace(near, index=far(near.index, first, tmp_path / "index"))
    variant.launch(case, gradient_LB, None, (first, first + labels), far_layer)
    dweight = exact_gradient(near, gradient)
    wanted = updated(variant, layer, gradient, dweight, (0, labels), FIRST_LABEL + first)
    for got, right in ((far_layer.weight, wanted.weight), (far_layer.momentum, wanted.momentum)):
        assert got[first:].tobytes() == right.tobytes()
    np.testing.assert_allclose(far_layer.bias[first:, 0], wanted.bias, rtol=1e-6)
