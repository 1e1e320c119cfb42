"""The text of kernels/ffi_scores.cu on the host: scores, or losses and their gradient, against the dense
layer in float64.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from tests.kernels.cases import (
    BCE,
    BFLOAT16,
    BYTES,
    FLOAT16,
    FLOAT32,
    SQUARED_HINGE,
    Array,
    Case,
    assert_bands,
    error,
    far,
    make_case,
    poisoned,
    to_tensor,
)
from tests.kernels.host.kernel import HostKernel

THREADS = 256
BOUND = 2e-6  # relative error of norms: sums of float32


@dataclass(frozen=True)
class Variant:
    """A specialisation of the kernel."""

    weight: int = BFLOAT16
    feature: int = BFLOAT16
    group: int = 8
    shared: int = 1
    loss: int = 0

    @property
    def rows(self) -> int:
        return 8 * self.group

    @property
    def tile(self) -> int:
        return THREADS // self.group

    def case(self, batch: int, labels: int, features: int, fan_in: int, seed: int = 0) -> Case:
        return make_case(batch, labels, features, fan_in, self.weight, self.feature, seed=seed)

    def launch(
        self,
        case: Case,
        blocks: int = 2,
        order: int = 0,
        begin: int = 0,
        end: int | None = None,
        with_bias: bool = True,
    ) -> tuple[Array, Array]:
        """(scores [B, labels] or gradient [labels, S], losses of the blocks)."""
        names = ("WEIGHT", "FEATURE", "GROUP", "SHARED", "LOSS")
        macros = dict(
            zip(names, (self.weight, self.feature, self.group, self.shared, self.loss), strict=True)
        )
        end = len(case.weight) if end is None else end
        row_blocks, num_features = -(-case.batch // self.rows), len(case.x)
        out = poisoned((end - begin, case.stride) if self.loss else (case.batch, end - begin))
        losses = poisoned((row_blocks * blocks,))
        kept = num_features * self.rows * BYTES[self.feature] if self.shared else 0
        sizes = (case.batch, case.stride, num_features, case.weight.shape[1])
        arrays = [case.x, case.weight, case.index, case.bias if with_bias else None, out, losses]
        positives = [case.positive_rows, case.positive_labels, np.int32(len(case.positive_rows))]
        kernel = HostKernel("ffi_scores.cu", "ffi_scores", macros)
        arguments = [*arrays, *positives, np.int64(begin), np.int64(end), *map(np.int32, sizes)]
        kernel((blocks, row_blocks), THREADS, kept, arguments, order)
        assert_bands(out, losses)
        return out, losses


SCORES = [
    Variant(),
    Variant(weight=FLOAT32, feature=FLOAT32, group=4),
    Variant(weight=FLOAT32, feature=FLOAT16, group=1, shared=0),
]
LOSSES = [
    Variant(loss=SQUARED_HINGE),
    Variant(weight=FLOAT16, feature=FLOAT32, group=2, loss=BCE),
    Variant(weight=FLOAT16, feature=FLOAT16, group=8, shared=0, loss=SQUARED_HINGE),
]


def check_gradient(variant: Variant, case: Case, out: Array, losses: Array, begin: int, end: int) -> None:
    """Gradients and the sum of losses of labels [begin, end) are right, and the padding is 0."""
    loss, gradient = (each[:, begin:end] for each in case.exact.loss_and_gradient(variant.loss))
    assert error(to_tensor(out)[:, : case.batch].T, gradient) < BOUND
    assert not out[:, case.batch :].any()
    assert float(to_tensor(losses).sum()) == pytest.approx(float(loss.sum()), rel=BOUND)


@pytest.mark.parametrize("variant", SCORES, ids=str)
@pytest.mark.parametrize("edge", [-1, 0, 1])
def test_scores_at_every_tile_edge(variant: Variant, edge: int) -> None:
    case = variant.case(variant.rows + edge, 3 * variant.tile + edge, 40 + edge, 16, seed=edge)
    assert error(to_tensor(variant.launch(case)[0]), case.exact.scores()) < BOUND


@pytest.mark.parametrize("variant", LOSSES, ids=str)
@pytest.mark.parametrize("edge", [-1, 0, 1])
def test_gradient_at_every_tile_edge(variant: Variant, edge: int) -> None:
    case = variant.case(variant.rows + edge, 3 * variant.tile + edge, 40 + edge, 16, seed=edge)
    check_gradient(variant, case, *variant.launch(case), 0, len(case.weight))


@pytest.mark.parametrize(
    ("batch", "labels", "features", "fan_in"),
    [(1, 1, 8, 8), (7, 2, 9, 8), (150, 33, 25, 24), (3, 40, 517, 512)],
)
def test_any_shape(batch: int, labels: int, features: int, fan_in: int) -> None:
    for variant in (SCORES[0], LOSSES[0]):
        case = variant.case(batch, labels, features, fan_in, seed=batch)
        out, losses = variant.launch(case, blocks=3)  # some without a label
        if variant.loss:
            check_gradient(variant, case, out, losses, 0, labels)
        else:
            assert error(to_tensor(out), case.exact.scores()) < BOUND


@pytest.mark.parametrize("variant", [SCORES[0], LOSSES[0]], ids=str)
def test_a_range_of_labels_without_bias(variant: Variant) -> None:
    case = variant.case(11, 90, 33, 8)
    case.exact.bias.zero_()
    out, losses = variant.launch(case, begin=5, end=77, with_bias=False)
    if variant.loss:
        check_gradient(variant, case, out, losses, 5, 77)
    else:
        assert error(to_tensor(out), case.exact.scores()[:, 5:77]) < BOUND


@pytest.mark.parametrize("variant", [*SCORES, *LOSSES], ids=str)
def test_bits_depend_on_no_order_of_lanes(variant: Variant) -> None:
    case = variant.case(70, 2 * variant.tile + 3, 24, 8)
    runs = [variant.launch(case, order=order) for order in range(3)]
    for out, losses in runs[1:]:
        assert out.tobytes() == runs[0][0].tobytes()
        assert losses.tobytes() == runs[0][1].tobytes()


def test_most_features_there_can_be() -> None:
    variant = SCORES[2]
    case = variant.case(9, 30, 65536, 16)
    assert int(case.exact.index.max()) == 65535
    out, _ = variant.launch(case)
    assert error(to_tensor(out), case.exact.scores()) < BOUND


def test_weights_past_two_to_the_31(tmp_path: Path) -> None:
    first, labels, fan_in = 2**31 // 512, 40, 512
    variant = SCORES[0]
    near = variant.case(5, labels, 530, fan_in)
    bias = far(near.bias[:, None], first, tmp_path / "bias")
    weight = far(near.weight, first, tmp_path / "weight")
    index = far(near.index, first, tmp_path / "index")
    case = replace(near, weight=weight, index=index, bias=bias)
    out, _ = variant.launch(case, begin=first, end=first + labels)
    assert error(to_tensor(out), near.exact.scores()) < BOUND
