"""The text of kernels/group_grad_weight.cu on the host: dW against the dense layer in float64, and the update
bit for bit against the same arithmetic in NumPy (`cases.update`).
"""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from torch import Tensor

from tests.kernels.cases.batch import (
    BFLOAT16,
    FLOAT16,
    Array,
    Case,
    assert_bands,
    error,
    far,
    poisoned,
    to_tensor,
)
from tests.kernels.cases.update import (
    FIRST_LABEL,
    Layer,
    assert_same_layer,
    make_layer,
    sgd_arguments,
    updated,
)
from tests.kernels.group.cases import GROUP_SIZES, SHAPES, group_case, half_gradient
from tests.kernels.host.kernel import HostKernel
from xmcpipe.ops.nvrtc.group_kernels import ROWS, TILE, weight_bytes

BOUND = 1e-6  # relative error of norms: sums of float32


@dataclass(frozen=True)
class Variant:
    """A specialisation of the kernel."""

    size: int = 16
    parts: int = 1
    weight: int = BFLOAT16
    update: int = 0
    momentum: int = 0

    def case(
        self, batch: int, labels: int, features: int, fan_in: int, seed: int = 0, whole: bool = False
    ) -> Case:
        return group_case(batch, labels, features, fan_in, self.size, self.weight, seed, whole)

    def launch(
        self,
        case: Case,
        gradient_PLB: Array,
        dweight_LK: Array | None,
        labels: tuple[int, int],
        layer: Layer | None = None,
        order: int = 0,
        factor: float = 1.0,
    ) -> None:
        """Write dW of the labels [begin, end), or update them in `layer`."""
        names = ("GROUP_SIZE", "PARTS", "WEIGHT", "UPDATE", "MOMENTUM")
        values = (self.size, self.parts, self.weight, self.update, self.momentum)
        macros = dict(zip(names, values, strict=True))
        HostKernel("group_grad_weight", macros)(
            (2,),
            weight_bytes(macros),
            order,
            gradient_PLB=gradient_PLB,
            features_DB=case.x,
            index_RK=case.index,
            dweight_LK=dweight_LK,
            begin=labels[0],
            end=labels[1],
            stride=case.stride,
            fan_in=case.weight.shape[1],
            factor=factor,
            **sgd_arguments(),
            **(layer.arguments if layer else {}),
        )


def exact_gradient(case: Case, gradient: Tensor, begin: int = 0) -> Tensor:
    """dW [labels, K] of the labels from `begin` on, in float64."""
    index = case.exact.index[begin : begin + gradient.shape[1]]
    return (gradient.T @ case.exact.features).gather(1, index)


def check_gradient(variant: Variant, case: Case, order: int = 0) -> Array:
    """dW is right for all labels; returns it."""
    gradient_PLB, gradient = half_gradient(case, case.num_labels, variant.weight, variant.parts)
    dweight_LK = poisoned(case.weight.shape)
    variant.launch(case, gradient_PLB, dweight_LK, (0, case.num_labels), order=order)
    assert_bands(dweight_LK)
    assert error(to_tensor(dweight_LK), exact_gradient(case, gradient)) < BOUND
    return dweight_LK


def check_update(
    variant: Variant,
    case: Case,
    labels: tuple[int, int] | None = None,
    with_bias: bool = True,
    order: int = 0,
    factor: float = 1.0,
) -> None:
    """Weights and momentum are right bit for bit, also outside the labels [begin, end)."""
    begin, end = labels or (0, case.num_labels)
    gradient_PLB, gradient = half_gradient(case, end - begin, variant.weight, variant.parts, whole=True)
    layer = make_layer(case, variant.weight, variant.momentum, with_bias)
    dweight = factor * exact_gradient(case, gradient, begin)
    expected = updated(layer, factor * gradient, dweight, (begin, end))
    variant.launch(case, gradient_PLB, None, (begin, end), layer, order, factor)
    assert_same_layer(layer, expected)
    layer.assert_bands()


GRADIENTS = [
    *(Variant(size=size) for size in GROUP_SIZES),
    Variant(parts=2),
    Variant(size=8, parts=2, weight=FLOAT16),
]
UPDATES = [
    *(Variant(size=size, update=1) for size in GROUP_SIZES),
    Variant(update=1, momentum=1),
    Variant(size=64, weight=FLOAT16, update=1, momentum=2),
    Variant(size=8, parts=2, update=1),
]


@pytest.mark.parametrize("variant", GRADIENTS, ids=str)
@pytest.mark.parametrize("edge", [-1, 0, 1])
def test_gradient_at_every_edge(variant: Variant, edge: int) -> None:
    check_gradient(variant, variant.case(ROWS + edge, 2 * TILE + edge, 90 + edge, 64 + 16 * edge, seed=edge))


@pytest.mark.parametrize("variant", UPDATES, ids=str)
@pytest.mark.parametrize("edge", [-1, 0, 1])
def test_update_at_every_edge(variant: Variant, edge: int) -> None:
    shape = (ROWS + edge, 3 * TILE + edge, 90 + edge, 64 + 16 * edge)
    check_update(variant, variant.case(*shape, seed=edge, whole=True))


@pytest.mark.parametrize(("batch", "labels", "features", "fan_in"), SHAPES)
def test_any_shape(batch: int, labels: int, features: int, fan_in: int) -> None:
    shape = (batch, labels, features, fan_in)
    check_gradient(GRADIENTS[1], GRADIENTS[1].case(*shape, seed=batch))
    check_update(UPDATES[1], UPDATES[1].case(*shape, seed=batch, whole=True))


@pytest.mark.parametrize("variant", UPDATES, ids=str)
def test_a_range_of_labels_without_bias(variant: Variant) -> None:
    case = variant.case(9, 4 * TILE, 33, 32, whole=True)
    check_update(variant, case, labels=(variant.size, 3 * TILE - 5), with_bias=False)


def test_gradients_of_another_scale() -> None:
    variant = UPDATES[5]
    check_update(variant, variant.case(9, TILE, 33, 32, whole=True), factor=2.0**-6)


@pytest.mark.parametrize("variant", [*GRADIENTS, *UPDATES], ids=str)
def test_bits_depend_on_no_order_of_lanes(variant: Variant) -> None:
    case = variant.case(ROWS + 5, TILE + 3, 40, 32, whole=bool(variant.update))
    if variant.update:
        for order in range(3):
            check_update(variant, case, order=order)
    else:
        runs = [check_gradient(variant, case, order).tobytes() for order in range(3)]
        assert runs[1:] == runs[:1] * 2


def test_weights_past_two_to_the_31(tmp_path: Path) -> None:
    first, labels, variant = 2**31 // 512, 34, UPDATES[4]
    near = variant.case(5, labels, 530, 512, whole=True)
    gradient_PLB, gradient = half_gradient(near, labels, BFLOAT16, whole=True)
    layer = make_layer(near, BFLOAT16, variant.momentum)
    far_layer = layer.far(first, tmp_path)
    case = replace(near, index=far(near.index, first // variant.size, tmp_path / "index"))
    variant.launch(case, gradient_PLB, None, (first, first + labels), far_layer)
    expected = updated(layer, gradient, exact_gradient(near, gradient), (0, labels), FIRST_LABEL + first)
    assert_same_layer(far_layer, expected, first)
