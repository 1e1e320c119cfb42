"""The text of kernels/ffi_grad_features.cu on the host: dX against the dense layer in float64."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from tests.kernels.cases.batch import (
    BFLOAT16,
    E4M3,
    FLOAT16,
    FLOAT32,
    Array,
    Case,
    assert_bands,
    error,
    far,
    make_case,
    make_gradient,
    poisoned,
    to_tensor,
)
from tests.kernels.host.kernel import HostKernel

SLICE, TILE, PADDING = 256, 32, 8


@dataclass(frozen=True)
class Variant:
    """A specialisation of the kernel."""

    weight: int = BFLOAT16
    tensor: int = 1
    rows: int = 16
    parts: int = 2

    @property
    def bound(self) -> float:
        """Bound of the relative error of norms: float32, two parts of bfloat16, or one."""
        return 1e-6 if not self.tensor else 1e-5 if self.parts == 2 else 3e-3

    @property
    def shared_bytes(self) -> int:
        if not self.tensor:
            return 4 * TILE * (SLICE + self.rows)
        weight_parts = 1 if self.weight in (BFLOAT16, E4M3) else 2
        return 2 * TILE * (weight_parts * (SLICE + PADDING) + self.parts * (self.rows + PADDING))

    def case(self, batch: int, labels: int, features: int, fan_in: int, seed: int = 0) -> Case:
        return make_case(batch, labels, features, fan_in, self.weight, FLOAT32, seed=seed)

    def add(
        self,
        case: Case,
        gradient_LB: Array,
        partial_SBD: Array,
        labels: tuple[int, int],
        order: int = 0,
        add: bool = False,
    ) -> None:
        """Write the labels' contribution to dX to `partial_SBD`, or add it."""
        splits, batch, num_features = partial_SBD.shape
        names = ("WEIGHT", "TENSOR", "ROWS", "GRADIENT_PARTS")
        macros = dict(zip(names, (self.weight, self.tensor, self.rows, self.parts), strict=True))
        HostKernel("ffi_grad_features", macros)(
            (-(-num_features // SLICE), splits, -(-batch // self.rows)),
            self.shared_bytes,
            order,
            gradient_LB=gradient_LB,
            weight_LK=case.weight,
            index_LK=case.index,
            partial_SBD=partial_SBD,
            begin=labels[0],
            end=labels[1],
            batch=batch,
            add=add,
            **case.sizes,
        )
        assert_bands(partial_SBD)


def total(partial_SBD: Array) -> Array:
    """dX [B, D]: the splits added up."""
    splits, *shape = partial_SBD.shape
    out_BD = poisoned(shape)
    kernel = HostKernel("ffi_grad_features_sum", {})
    kernel((2,), 0, partial_SBD=partial_SBD, out_BD=out_BD, splits=splits, count=out_BD.size)
    assert_bands(out_BD)
    return out_BD


def check(variant: Variant, case: Case, splits: int = 2, order: int = 0, scale: float = 1.0) -> Array:
    """dX is right for all labels; returns it."""
    gradient_LB, gradient = make_gradient(case, len(case.weight), scale=scale)
    partial_SBD = poisoned((splits, *case.exact.features.shape))
    variant.add(case, gradient_LB, partial_SBD, (0, len(case.weight)), order)
    out_BD = total(partial_SBD)
    assert error(to_tensor(out_BD), gradient @ case.exact.dense()) < variant.bound
    return out_BD


VARIANTS = [
    Variant(),
    Variant(rows=64, parts=1),
    Variant(weight=FLOAT32, rows=32),
    Variant(weight=FLOAT16),
    Variant(weight=FLOAT32, tensor=0),
    Variant(tensor=0, rows=64),
]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("edge", [-1, 0, 1])
def test_every_tile_edge(variant: Variant, edge: int) -> None:
    check(variant, variant.case(variant.rows + edge, 2 * TILE + edge, SLICE + edge, 40, seed=edge))


@pytest.mark.parametrize(
    ("batch", "labels", "features", "fan_in"),
    [(1, 1, 8, 8), (2, 31, 9, 8), (33, 100, 70, 64), (7, 40, 513, 512), (3, 65, 300, 296)],
)
def test_any_shape(batch: int, labels: int, features: int, fan_in: int) -> None:
    for variant in (VARIANTS[0], VARIANTS[4]):
        check(variant, variant.case(batch, labels, features, fan_in, seed=batch), splits=3)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_bits_depend_on_no_order_of_lanes(variant: Variant) -> None:
    case = variant.case(9, 2 * TILE + 3, 24, 16)
    runs = [check(variant, case, order=order).tobytes() for order in range(3)]
    assert runs[1:] == runs[:1] * 2


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_gradients_beyond_the_range_of_float16(scale: float) -> None:
    variant = VARIANTS[3]
    check(variant, variant.case(5, 50, 40, 16), scale=scale)


def test_chunks_of_labels_share_a_workspace() -> None:
    variant = VARIANTS[0]
    case = variant.case(11, 90, 33, 8)
    partial_SBD, expected = poisoned((2, 11, 33)), torch.zeros(11, 33, dtype=torch.float64)
    for begin, end in [(5, 50), (50, 51), (51, 87)]:
        gradient_LB, gradient = make_gradient(case, end - begin, seed=begin)
        variant.add(case, gradient_LB, partial_SBD, (begin, end), add=begin > 5)
        expected += gradient @ case.exact.dense()[begin:end]
    assert error(to_tensor(total(partial_SBD)), expected) < variant.bound


def test_the_largest_number_of_features() -> None:
    variant = VARIANTS[4]
    case = variant.case(2, 3, 65536, 16)
    assert int(case.exact.index.max()) == 65535
    check(variant, case, splits=1)


def test_weights_past_two_to_the_31(tmp_path: Path) -> None:
    first, labels, variant = 2**31 // 512, 40, VARIANTS[0]
    near = variant.case(5, labels, 530, 512)
    weight, index = far(near.weight, first, tmp_path / "weight"), far(near.index, first, tmp_path / "index")
    gradient_LB, gradient = make_gradient(near, labels)
    partial_SBD = poisoned((2, 5, 530))
    case = replace(near, weight=weight, index=index)
    variant.add(case, gradient_LB, partial_SBD, (first, first + labels))
    assert error(to_tensor(total(partial_SBD)), gradient @ near.exact.dense()) < variant.bound
