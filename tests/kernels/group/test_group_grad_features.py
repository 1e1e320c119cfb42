"""The text of kernels/group_grad_features.cu on the host: dX against the dense layer in float64."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
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
from tests.kernels.group.cases import GROUP_SIZES, SHAPES, group_case, half_gradient
from tests.kernels.host.kernel import HostKernel
from xmcpipe.ops.nvrtc.group_kernels import gradient_stage_bytes

BOUND = 1e-6  # relative error of norms: sums of float32
SUM_BYTES = 4


@dataclass(frozen=True)
class Variant:
    """A specialisation of the kernel."""

    size: int = 16
    rows: int = 64
    parts: int = 1
    weight: int = BFLOAT16

    def case(self, batch: int, labels: int, features: int, fan_in: int, seed: int = 0) -> Case:
        return group_case(batch, labels, features, fan_in, self.size, self.weight, seed)

    def launch(
        self,
        case: Case,
        gradient_PLB: Array,
        partial_SDB: Array,
        labels: tuple[int, int],
        order: int = 0,
        add: bool = False,
        slice_features: int = 0,
    ) -> None:
        """Write the labels' contribution to dX to `partial_SDB` [splits, D, S], or add it."""
        splits, num_features, stride = partial_SDB.shape
        slice_features = slice_features or num_features
        names = ("GROUP_SIZE", "ROWS", "PARTS", "WEIGHT")
        macros = dict(zip(names, (self.size, self.rows, self.parts, self.weight), strict=True))
        HostKernel("group_grad_features", macros)(
            (-(-num_features // slice_features), splits, -(-stride // self.rows)),
            SUM_BYTES * slice_features * self.rows + gradient_stage_bytes(macros),
            order,
            gradient_PLB=gradient_PLB,
            weight_LK=case.weight,
            index_RK=case.index,
            partial_SDB=partial_SDB,
            begin=labels[0],
            end=labels[1],
            slice=slice_features,
            add=add,
            **case.sizes,
        )
        assert_bands(partial_SDB)


def total(case: Case, partial_SDB: Array) -> Tensor:
    """dX [B, D]: the splits added up."""
    return to_tensor(partial_SDB).sum(0).T[: case.batch]


def check(variant: Variant, case: Case, splits: int = 2, order: int = 0, slice_features: int = 0) -> Array:
    """dX is right for all labels; returns its partial sums."""
    gradient_PLB, gradient = half_gradient(case, case.num_labels, variant.weight, variant.parts)
    partial_SDB = poisoned((splits, len(case.x), case.stride))
    labels = (0, case.num_labels)
    variant.launch(case, gradient_PLB, partial_SDB, labels, order, slice_features=slice_features)
    assert error(total(case, partial_SDB), gradient @ case.exact.dense()) < BOUND
    return partial_SDB


VARIANTS = [
    *(Variant(size=size) for size in GROUP_SIZES),
    Variant(rows=32, parts=2, weight=FLOAT16),
    Variant(size=8, rows=16),
    Variant(size=64, rows=16, parts=2),
]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("edge", [-1, 0, 1])
def test_every_edge(variant: Variant, edge: int) -> None:
    labels, fan_in = 4 * variant.size + edge, 64 + 16 * edge
    check(variant, variant.case(variant.rows + edge, labels, 90 + edge, fan_in, seed=edge))


@pytest.mark.parametrize(("batch", "labels", "features", "fan_in"), SHAPES)
def test_any_shape(batch: int, labels: int, features: int, fan_in: int) -> None:
    for variant in (VARIANTS[1], VARIANTS[4]):
        check(variant, variant.case(batch, labels, features, fan_in, seed=batch), splits=3)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_slices_of_features(variant: Variant) -> None:
    check(variant, variant.case(9, 100, 150, 144), slice_features=47)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_bits_depend_on_no_order_of_lanes(variant: Variant) -> None:
    """All groups share features here."""
    case = variant.case(35, 5 * variant.size - 3, 24, 16)
    runs = [check(variant, case, order=order).tobytes() for order in range(3)]
    assert runs[1:] == runs[:1] * 2


def test_chunks_of_labels_share_a_workspace() -> None:
    variant = VARIANTS[0]
    case = variant.case(11, 90, 33, 16)
    partial_SDB, expected = poisoned((2, 33, case.stride)), torch.zeros(11, 33, dtype=torch.float64)
    for begin, end in [(8, 48), (48, 56), (56, 87)]:
        gradient_PLB, gradient = half_gradient(case, end - begin, BFLOAT16, seed=begin)
        variant.launch(case, gradient_PLB, partial_SDB, (begin, end), add=begin > 8)
        expected += gradient @ case.exact.dense()[begin:end]
    assert error(total(case, partial_SDB), expected) < BOUND


def test_weights_past_two_to_the_31(tmp_path: Path) -> None:
    first, labels, variant = 2**31 // 512, 40, VARIANTS[0]
    near = variant.case(5, labels, 530, 512)
    weight = far(near.weight, first, tmp_path / "weight")
    index = far(near.index, first // variant.size, tmp_path / "index")
    gradient_PLB, gradient = half_gradient(near, labels, BFLOAT16)
    partial_SDB = poisoned((2, 530, near.stride))
    case = replace(near, weight=weight, index=index)
    variant.launch(case, gradient_PLB, partial_SDB, (first, first + labels))
    assert error(total(near, partial_SDB), gradient @ near.exact.dense()) < BOUND
