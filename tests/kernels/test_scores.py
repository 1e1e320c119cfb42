"""The text of kernels/ffi_scores.cu on the host: scores, or losses and their gradient, against the dense
layer in float64.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from tests.kernels.cases.batch import (
    BCE,
    FLOAT16,
    FLOAT32,
    SQUARED_HINGE,
    Array,
    Case,
    assert_bands,
    error,
    far,
    poisoned,
    to_tensor,
)
from tests.kernels.cases.gather import SHAPES, GatherVariant
from tests.kernels.host.kernel import HostKernel

BOUND = 2e-6  # relative error of norms: sums of float32


@dataclass(frozen=True)
class Variant(GatherVariant):
    """A specialisation of the kernel."""

    loss: int = 0
    initial: int = 0

    def launch(
        self,
        case: Case,
        blocks: int = 2,
        order: int = 0,
        labels: tuple[int, int] | None = None,
        with_bias: bool = True,
        initial: Array | None = None,
    ) -> tuple[Array, Array]:
        """(scores [B, labels] or gradient [labels, S], losses of the blocks)."""
        begin, end = labels or (0, case.num_labels)
        row_blocks = -(-case.batch // self.rows)
        out = poisoned((end - begin, case.stride) if self.loss else (case.batch, end - begin))
        if initial is not None:
            out[...] = initial
        losses = poisoned((row_blocks * blocks,))
        macros = {"LOSS": self.loss, "INITIAL": self.initial}
        kernel = HostKernel("ffi_scores", self.gather_macros | macros)
        kernel(
            (blocks, row_blocks),
            self.shared_bytes(len(case.x)),
            order,
            features_DB=case.x,
            weight_LK=case.weight,
            index_LK=case.index,
            bias_L=case.bias if with_bias else None,
            out=out,
            partial_loss=losses,
            positive_rows=case.positive_rows,
            positive_labels=case.positive_labels,
            num_positives=len(case.positive_rows),
            begin=begin,
            end=end,
            batch=case.batch,
            **case.sizes,
        )
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
    check_gradient(variant, case, *variant.launch(case), 0, case.num_labels)


@pytest.mark.parametrize(("batch", "labels", "features", "fan_in"), SHAPES)
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
    out, losses = variant.launch(case, labels=(5, 77), with_bias=False)
    if variant.loss:
        check_gradient(variant, case, out, losses, 5, 77)
    else:
        assert error(to_tensor(out), case.exact.scores()[:, 5:77]) < BOUND


@pytest.mark.parametrize("variant", LOSSES, ids=str)
def test_scores_start_from_what_out_holds(variant: Variant) -> None:
    """With INITIAL 1; the padding may hold anything."""
    case = variant.case(variant.rows + 3, 2 * variant.tile + 1, 40, 16)
    initial_LB = poisoned((case.num_labels, case.stride))
    initial_LB[:, : case.batch] = np.random.default_rng(0).normal(size=(case.num_labels, case.batch))
    shifted = replace(case.exact, initial=to_tensor(initial_LB)[:, : case.batch].T)
    out, losses = replace(variant, initial=1).launch(case, initial=initial_LB)
    check_gradient(variant, replace(case, exact=shifted), out, losses, 0, case.num_labels)


@pytest.mark.parametrize("variant", [*SCORES, *LOSSES], ids=str)
def test_bits_depend_on_no_order_of_lanes(variant: Variant) -> None:
    case = variant.case(70, 2 * variant.tile + 3, 24, 8)
    runs = [variant.launch(case, order=order) for order in range(3)]
    for out, losses in runs[1:]:
        assert out.tobytes() == runs[0][0].tobytes()
        assert losses.tobytes() == runs[0][1].tobytes()


def test_the_largest_number_of_features() -> None:
    variant = SCORES[2]
    case = variant.case(9, 30, 65536, 16)
    assert int(case.exact.index.max()) == 65535
    out, _ = variant.launch(case)
    assert error(to_tensor(out), case.exact.scores()) < BOUND


def test_weights_past_two_to_the_31(tmp_path: Path) -> None:
    first, labels, fan_in = 2**31 // 512, 40, 512
    variant = SCORES[0]
    near = variant.case(5, labels, 530, fan_in)
    weight, index, bias = (
        far(getattr(near, name), first, tmp_path / name) for name in ("weight", "index", "bias")
    )
    case = replace(near, weight=weight, index=index, bias=bias)
    out, _ = variant.launch(case, labels=(first, first + labels))
    assert error(to_tensor(out), near.exact.scores()) < BOUND
