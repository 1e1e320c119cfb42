"""The text of kernels/ffi_grad_weight.cu on the host: dW against the dense layer in float64, and the update
bit for bit against the same arithmetic in NumPy (`update_cases`).
"""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from torch import Tensor

from tests.kernels.cases.batch import (
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    Array,
    Case,
    assert_bands,
    error,
    far,
    make_gradient,
    poisoned,
    to_tensor,
)
from tests.kernels.cases.gather import SHAPES, GatherVariant
from tests.kernels.cases.update import (
    FIRST_LABEL,
    Layer,
    assert_same_layer,
    make_layer,
    sgd_arguments,
    updated,
)
from tests.kernels.host.kernel import HostKernel

BOUND = 1e-6  # relative error of norms: sums of float32


@dataclass(frozen=True)
class Variant(GatherVariant):
    """A specialisation of the kernel."""

    update: int = 0
    momentum: int = 0

    def launch(
        self,
        case: Case,
        gradient_LB: Array,
        dweight_LK: Array | None,
        labels: tuple[int, int],
        layer: Layer | None = None,
        order: int = 0,
    ) -> None:
        """Write dW of the labels [begin, end), or update them in `layer`."""
        macros = self.gather_macros | {"UPDATE": self.update, "MOMENTUM": self.momentum}
        HostKernel("ffi_grad_weight", macros)(
            (2,),
            self.shared_bytes(len(case.x)),
            order,
            gradient_LB=gradient_LB,
            features_DB=case.x,
            index_LK=case.index,
            dweight_LK=dweight_LK,
            begin=labels[0],
            end=labels[1],
            **case.sizes,
            **sgd_arguments(),
            **(layer.arguments if layer else {}),
        )


def exact_gradient(case: Case, gradient: Tensor, begin: int = 0) -> Tensor:
    """dW [labels, K] of the labels from `begin` on, in float64."""
    index = case.exact.index[begin : begin + gradient.shape[1]]
    return (gradient.T @ case.exact.features).gather(1, index)


def check_gradient(variant: Variant, case: Case, order: int = 0) -> Array:
    """dW is right for all labels; returns it."""
    gradient_LB, gradient = make_gradient(case, case.num_labels)
    dweight_LK = poisoned(case.index.shape)
    variant.launch(case, gradient_LB, dweight_LK, (0, case.num_labels), order=order)
    assert_bands(dweight_LK)
    assert error(to_tensor(dweight_LK), exact_gradient(case, gradient)) < BOUND
    return dweight_LK


def check_update(
    variant: Variant,
    case: Case,
    labels: tuple[int, int] | None = None,
    with_bias: bool = True,
    order: int = 0,
) -> None:
    """Weights and momentum are right bit for bit, also outside the labels [begin, end)."""
    begin, end = labels or (0, case.num_labels)
    gradient_LB, gradient = make_gradient(case, end - begin, whole=True)
    layer = make_layer(case, variant.weight, variant.momentum, with_bias)
    expected = updated(layer, gradient, exact_gradient(case, gradient, begin), (begin, end))
    workspace = poisoned((end - begin, case.index.shape[1])) if case.stride > variant.rows else None
    variant.launch(case, gradient_LB, workspace, (begin, end), layer, order)
    assert_same_layer(layer, expected)
    layer.assert_bands()
    if workspace is not None:
        assert_bands(workspace)


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
    rows, labels, fan_in = variant.rows + edge, 2 * variant.tile + edge, 16 * variant.group + 8 * edge
    check_update(variant, variant.case(rows, labels, 150 + edge, fan_in, seed=edge, whole=True))


@pytest.mark.parametrize(("batch", "labels", "features", "fan_in"), SHAPES)
def test_any_shape(batch: int, labels: int, features: int, fan_in: int) -> None:
    shape = (batch, labels, features, fan_in)
    check_gradient(GRADIENTS[0], GRADIENTS[0].case(*shape, seed=batch))
    check_update(UPDATES[0], UPDATES[0].case(*shape, seed=batch, whole=True))


@pytest.mark.parametrize("variant", UPDATES, ids=str)
def test_a_range_of_labels_without_bias(variant: Variant) -> None:
    check_update(variant, variant.case(9, 90, 33, 16, whole=True), labels=(5, 77), with_bias=False)


@pytest.mark.parametrize("variant", [*GRADIENTS, *UPDATES], ids=str)
def test_bits_depend_on_no_order_of_lanes(variant: Variant) -> None:
    case = variant.case(variant.rows + 5, variant.tile + 3, 40, 24, whole=bool(variant.update))
    if variant.update:
        for order in range(3):
            check_update(variant, case, order=order)
    else:
        runs = [check_gradient(variant, case, order).tobytes() for order in range(3)]
        assert runs[1:] == runs[:1] * 2


def test_the_largest_number_of_features() -> None:
    case = GRADIENTS[2].case(9, 30, 65536, 16)
    assert int(case.exact.index.max()) == 65535
    check_gradient(GRADIENTS[2], case)


def test_weights_past_two_to_the_31(tmp_path: Path) -> None:
    first, labels, variant = 2**31 // 512, 34, UPDATES[0]
    near = variant.case(5, labels, 530, 512, whole=True)
    gradient_LB, gradient = make_gradient(near, labels, whole=True)
    layer = make_layer(near, BFLOAT16, variant.momentum)
    far_layer = layer.far(first, tmp_path)
    case = replace(near, index=far(near.index, first, tmp_path / "index"))
    variant.launch(case, gradient_LB, None, (first, first + labels), far_layer)
    dweight = exact_gradient(near, gradient)
    expected = updated(layer, gradient, dweight, (0, labels), FIRST_LABEL + first)
    assert_same_layer(far_layer, expected, first)
