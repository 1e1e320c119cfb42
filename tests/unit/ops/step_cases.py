"""Layers, batches and positives for the tests of the fused step, and what a step must give."""

from typing import NamedTuple

import torch
from torch import Tensor

from tests.unit.ops.ffi_cases import make, poison
from xmcpipe.ops import reference
from xmcpipe.ops.layer import Positives, SparseLayer, Update
from xmcpipe.ops.reference import Sgd, StepResult
from xmcpipe.ops.rounding import FLOAT8, FLOAT8_SCALE, decoded, encoded
from xmcpipe.ops.step import step_

SCALE, RATE, DECAY, FACTOR = 0.02, 0.5, 0.01, 0.9
FIRST_LABEL = 1000


class Sizes(NamedTuple):
    """The sizes of a case."""

    num_rows: int
    num_features: int
    num_labels: int
    fan_in: int


class Outcome(NamedTuple):
    """A step's results, and the layer after it."""

    loss_sum: Tensor
    grad_features: Tensor
    layer: SparseLayer


def make_update(
    device: str = "cpu", step: int = 3, rate: float = RATE, factor: float = FACTOR, seed: int = 7
) -> Update:
    """The update of a step, without a limit of the chunk."""
    scale, learning_rate, number = (torch.tensor(value, device=device) for value in (SCALE, rate, step))
    return Update(scale, learning_rate, number, DECAY, factor, seed, FIRST_LABEL, label_chunk=1 << 20)


class Case:
    """A layer with bias and (if a dtype is given) momentum, a batch and its positives.

    `run` takes a step of a copy; `expected` computes it in float64.
    """

    def __init__(
        self,
        sizes: Sizes,
        dtypes: tuple[torch.dtype, torch.dtype],
        momentum: torch.dtype | None = None,
        seed: int = 0,
        device: str = "cpu",
        group: int = 1,
    ) -> None:
        features, weight, index, noise = make(*sizes, seed=seed)
        index = index[: -(-sizes.num_labels // group)]
        self.features, self.device = features.to(dtypes[0]).to(device), device
        self.layer = SparseLayer(
            encoded(0.3 * weight, dtypes[1]).to(device),
            index.to(device),
            noise[0].float().to(device),
            None if momentum is None else weight.flip(0).to(momentum).to(device),
            group,
        )
        self.target = (noise > 1.0).to(device)
        labels, rows = self.target.T.nonzero().unbind(1)
        self.positives = Positives(rows.contiguous(), labels.contiguous())

    def copy(self, begin: int = 0, end: int | None = None) -> SparseLayer:
        """The labels [begin, end) in memory of their own."""
        part = self.layer.part(begin, self.layer.num_labels if end is None else end)
        weight, index, bias, momentum, group = part
        assert bias is not None
        momentum = None if momentum is None else momentum.clone()
        return SparseLayer(weight.clone(), index.clone(), bias.clone(), momentum, group)

    def run(
        self, loss: str = "bce", update: Update | None = None, begin: int = 0, end: int | None = None
    ) -> Outcome:
        """The step of the labels [begin, end) alone."""
        update = update or make_update(self.device)
        layer = self.copy(begin, end)
        positives = self.positives.within(begin, begin + layer.num_labels)
        poison()
        update = update._replace(first_label=FIRST_LABEL + begin)
        return Outcome(*step_(self.features, layer, positives, loss, update), layer)

    def expected(self, loss: str = "bce", rate: float = RATE) -> StepResult:
        """The step of all labels in float64, by dense maths, unrounded."""
        weight, index, bias, momentum, group = self.layer
        assert bias is not None
        weight = decoded(weight, torch.float64)
        velocity = torch.zeros_like(weight) if momentum is None else momentum
        exact = SparseLayer(weight, index, bias.double(), velocity.double(), group)
        sgd = Sgd(SCALE, rate, DECAY, 0.0 if momentum is None else FACTOR)
        return reference.ffi_step(self.features.double(), exact, self.target.double(), loss, sgd)


def assert_near(value: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    """Equal up to `tolerance` times the largest value."""
    limit = tolerance * max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(value.double(), expected.double(), atol=limit, rtol=0)


def assert_same_up_to_order(value: Tensor, expected: Tensor) -> None:
    """Equal up to the order of sums: float32 is close, few of 16 bits are the other neighbour."""
    if value.dtype == torch.float32:
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)
    else:
        assert (value != expected).float().mean() < 0.05


def spacing(values: Tensor, dtype: torch.dtype) -> Tensor:
    """The distance of neighbouring weights of the dtype, around each value."""
    info, factor = torch.finfo(dtype), FLOAT8_SCALE if dtype == FLOAT8 else 1.0
    exponent = torch.floor(torch.log2((values.abs() * factor).clamp(min=info.smallest_normal)))
    return torch.exp2(exponent) * info.eps / factor


def check(case: Case, loss: str, outcome: Outcome) -> None:
    """The outcome is that of `Case.expected`, up to float32 sums and the rounding of weights."""
    expected = case.expected(loss)
    loss_sum, grad, (weight, _, bias, momentum, _) = outcome
    assert (loss_sum.dtype, grad.dtype, loss_sum.dim()) == (torch.float32, torch.float32, 0)
    assert bias is not None
    assert_near(loss_sum, expected.loss_sum)
    assert_near(grad, expected.grad_features)
    assert_near(bias, expected.bias)
    if weight.dtype == torch.float32:
        assert_near(weight, expected.weight)
    else:  # either neighbour
        off = (decoded(weight).double() - expected.weight).abs()
        assert (off <= 1.001 * spacing(expected.weight, weight.dtype) + 1e-6).all()
    if momentum is not None:
        off = (momentum.double() - expected.momentum).abs()
        assert (off <= 0.501 * spacing(expected.momentum, momentum.dtype) + 1e-5).all()
