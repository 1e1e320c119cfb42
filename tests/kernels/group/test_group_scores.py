"""The text of kernels/group_scores.cu on the host: scores, or losses and their gradient, against the dense
layer in float64.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.kernels.cases.batch import (
    BCE,
    BFLOAT16,
    FLOAT16,
    SQUARED_HINGE,
    Array,
    Case,
    assert_bands,
    banded,
    error,
    far,
    half_of,
    poisoned,
    to_tensor,
)
from tests.kernels.group.cases import SHAPES, every_size, group_case
from tests.kernels.host.kernel import HostKernel
from xmcpipe.ops.nvrtc.group_kernels import ROWS, TILE, score_bytes

BOUND = 2e-6  # relative error of norms: sums of float32
FIRST_LABEL, SEED = 2**33 + 5, 11


@dataclass(frozen=True)
class Variant:
    """A specialisation of the kernel."""

    size: int = 16
    loss: int = 0
    weight: int = BFLOAT16
    initial: int = 0

    @property
    def gradient_scale(self) -> float:
        """What the gradients are multiplied by (include/gradients.cuh)."""
        return 1.0 if self.weight != FLOAT16 else {SQUARED_HINGE: 64.0, BCE: 16384.0}[self.loss]

    def case(self, batch: int, labels: int, features: int, fan_in: int, seed: int = 0) -> Case:
        return group_case(batch, labels, features, fan_in, self.size, self.weight, seed)

    # Long: the arguments of the entry, one a line.
    def launch(
        self,
        case: Case,
        blocks: int = 2,
        order: int = 0,
        labels: tuple[int, int] | None = None,
        with_bias: bool = True,
        scores_LB: Array | None = None,
        step: int = 3,
    ) -> tuple[Array, Array]:
        """(scores [B, labels] or gradient [labels, S], losses of the blocks)."""
        begin, end = labels or (0, case.num_labels)
        row_blocks = -(-case.batch // ROWS)
        macros = {"GROUP_SIZE": self.size, "LOSS": self.loss, "WEIGHT": self.weight, "INITIAL": self.initial}
        shape = (end - begin, case.stride) if self.loss else (case.batch, end - begin)
        out = poisoned(shape, half_of(self.weight) if self.loss else 0)
        losses = poisoned((row_blocks * blocks,))
        HostKernel("group_scores", macros)(
            (blocks, row_blocks),
            score_bytes(macros),
            order,
            features_DB=case.x,
            weight_LK=case.weight,
            index_RK=case.index,
            bias_L=case.bias if with_bias else None,
            out_BL=None if self.loss else out,
            gradient_LB=out if self.loss else None,
            scores_LB=scores_LB,
            partial_loss=losses,
            positive_rows=case.positive_rows,
            positive_labels=case.positive_labels,
            num_positives=len(case.positive_rows),
            step=banded(np.array([step])),
            seed=SEED,
            first_label=FIRST_LABEL,
            begin=begin,
            end=end,
            batch=case.batch,
            stride=case.stride,
            fan_in=case.weight.shape[1],
        )
        assert_bands(out, losses)
        return out, losses

    def check_gradient(self, case: Case, out: Array, losses: Array, begin: int, end: int) -> None:
        """Each gradient is a 16-bit neighbour of the right one, the padding is 0, the loss is right."""
        loss, gradient = (each[:, begin:end] for each in case.exact.loss_and_gradient(self.loss))
        got = to_tensor(out, half_of(self.weight))
        assert not got[:, case.batch :].any()
        got = got[:, : case.batch].T / self.gradient_scale
        assert ((got - gradient).abs() <= spacing(gradient, self) + BOUND).all()
        assert float(to_tensor(losses).sum()) == pytest.approx(float(loss.sum()), rel=BOUND)


def spacing(gradient: Tensor, variant: Variant) -> Tensor:
    """The distance of neighbouring 16-bit numbers, at each gradient."""
    bits, smallest = (10, -24) if variant.weight == FLOAT16 else (7, -133)
    exponent = torch.frexp(gradient * variant.gradient_scale).exponent - 1 - bits
    return torch.ldexp(torch.ones_like(gradient), exponent.clamp(min=smallest)) / variant.gradient_scale


LOSSES = [
    Variant(loss=SQUARED_HINGE),
    Variant(size=8, loss=BCE),
    Variant(size=32, loss=BCE, weight=FLOAT16),
    Variant(size=64, loss=SQUARED_HINGE, weight=FLOAT16),
]


@every_size
@pytest.mark.parametrize("edge", [-1, 0, 1])
def test_scores_at_every_edge(size: int, edge: int) -> None:
    variant = Variant(size=size)
    case = variant.case(ROWS + edge, 3 * TILE + edge, 100 + edge, 64 + 16 * edge, seed=edge)
    assert error(to_tensor(variant.launch(case)[0]), case.exact.scores()) < BOUND


@pytest.mark.parametrize("variant", LOSSES, ids=str)
@pytest.mark.parametrize("edge", [-1, 0, 1])
def test_gradient_at_every_edge(variant: Variant, edge: int) -> None:
    case = variant.case(ROWS + edge, 3 * TILE + edge, 100 + edge, 64 + 16 * edge, seed=edge)
    variant.check_gradient(case, *variant.launch(case), 0, case.num_labels)


@pytest.mark.parametrize(("batch", "labels", "features", "fan_in"), SHAPES)
def test_any_shape(batch: int, labels: int, features: int, fan_in: int) -> None:
    for variant in (Variant(), LOSSES[0]):
        case = variant.case(batch, labels, features, fan_in, seed=batch)
        out, losses = variant.launch(case, blocks=3)  # some without a label
        if variant.loss:
            variant.check_gradient(case, out, losses, 0, labels)
        else:
            assert error(to_tensor(out), case.exact.scores()) < BOUND


@pytest.mark.parametrize("variant", [Variant(size=8), LOSSES[0]], ids=str)
def test_a_range_of_labels_without_bias(variant: Variant) -> None:
    case = variant.case(11, 150, 33, 32)
    case.exact.bias.zero_()
    begin, end = 3 * variant.size, 141
    out, losses = variant.launch(case, labels=(begin, end), with_bias=False)
    if variant.loss:
        variant.check_gradient(case, out, losses, begin, end)
    else:
        assert error(to_tensor(out), case.exact.scores()[:, begin:end]) < BOUND


@pytest.mark.parametrize("variant", LOSSES, ids=str)
def test_scores_start_from_those_of_words(variant: Variant) -> None:
    """With INITIAL 1; the gradient is left in float32 too, and the padding may hold anything."""
    case, variant = variant.case(ROWS + 3, TILE + 1, 40, 16), replace(variant, initial=1)
    scores_LB = poisoned((case.num_labels, case.stride))
    scores_LB[:, : case.batch] = np.random.default_rng(0).normal(size=(case.num_labels, case.batch))
    shifted = replace(case.exact, initial=to_tensor(scores_LB)[:, : case.batch].T)
    case = replace(case, exact=shifted)
    variant.check_gradient(case, *variant.launch(case, scores_LB=scores_LB), 0, case.num_labels)
    assert_bands(scores_LB)
    gradient = to_tensor(scores_LB)
    assert error(gradient[:, : case.batch].T, case.exact.loss_and_gradient(variant.loss)[1]) < BOUND
    assert not gradient[:, case.batch :].any()


def test_rounded_gradients_are_right_on_average() -> None:
    variant, runs = LOSSES[0], 16
    case = variant.case(16, 64, 50, 16)
    right = case.exact.loss_and_gradient(variant.loss)[1]
    launches = [variant.launch(case, step=step)[0] for step in range(runs)]
    gradients = [to_tensor(out, variant.weight)[:, : case.batch].T for out in launches]
    errors = [error(gradient, right) for gradient in gradients]
    assert min(errors) > 2.0**-11
    assert error(torch.stack(gradients).mean(0), right) < 0.4 * sum(errors) / runs


@pytest.mark.parametrize("variant", [Variant(size=32), *LOSSES], ids=str)
def test_bits_depend_on_no_order_of_lanes(variant: Variant) -> None:
    case = variant.case(70, 2 * TILE + 3, 24, 16)
    runs = [variant.launch(case, order=order) for order in range(3)]
    for out, losses in runs[1:]:
        assert out.tobytes() == runs[0][0].tobytes()
        assert losses.tobytes() == runs[0][1].tobytes()


def test_the_largest_number_of_features() -> None:
    variant = Variant(size=8)
    case = variant.case(9, 30, 65536, 16)
    assert int(case.exact.index.max()) == 65535
    assert error(to_tensor(variant.launch(case)[0]), case.exact.scores()) < BOUND


def test_weights_past_two_to_the_31(tmp_path: Path) -> None:
    first, labels, variant = 2**31 // 512, 40, Variant(size=8)
    near = variant.case(5, labels, 530, 512)
    weight, bias = (far(getattr(near, name), first, tmp_path / name) for name in ("weight", "bias"))
    index = far(near.index, first // variant.size, tmp_path / "index")
    case = replace(near, weight=weight, index=index, bias=bias)
    out, _ = variant.launch(case, labels=(first, first + labels))
    assert error(to_tensor(out), near.exact.scores()) < BOUND
