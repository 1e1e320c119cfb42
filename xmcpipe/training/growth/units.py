"""Numbers as integer multiples of a unit, so that their sums are exact, in any order.

A sum of floats depends on its order: on the chunk, the number of threads, the device. float64 holds integers
below 2^53 exactly, and so all sums of such integers. Features, weights and gradients are therefore rounded to
integer multiples of a power of two before they are multiplied:

| factors of a product | bits | terms of a sum |
|---|---|---|
| score: weight, feature | 20 + 15 | 2^16, the most features of a layer |
| all scores as negatives: gradient, feature | 24 + 15 | 2^14, the most sampled rows |
| positives: gradient, feature | 14 + 15 | 2^24 documents of a label |

A score is rounded to a step of 2^-11 and clamped to [-16, 16], and its gradient is read from a table with an
entry for each step. So no exponential is computed per score: those of vectors and of scalars differ in the
last place, and it depends on the chunk which of them computes a score.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from xmcpipe.ops.losses.loss import LossInPlace

WEIGHT_BITS, FEATURE_BITS = 20, 15
NEGATIVE_BITS, POSITIVE_BITS = 24, 14
HEADROOM_BITS = 2  # features up to 4 times the largest one in the ring are not clamped
STEPS_PER_SCORE, MAX_SCORE = 1 << 11, 16
MAX_STEP = STEPS_PER_SCORE * MAX_SCORE
MIN_EXPONENT = -200  # of anything smaller than float32 can hold, and of 0


def exponent(size: Tensor) -> Tensor:
    """The exponent e of |size| < 2^e, int64; `size` is a float tensor without negative values."""
    return torch.frexp(size.double()).exponent.long().masked_fill(size == 0, 0).clamp(min=MIN_EXPONENT)


def power_of_two(exponent: Tensor) -> Tensor:
    """2^exponent, float64: its bits are set, since exp2 need not be exact."""
    return ((exponent + 1023) << 52).view(torch.float64)


def to_units(values: Tensor, exponent: Tensor, bits: int) -> Tensor:
    """`values` in units of 2^(exponent - bits): integers as float64, clamped to +-2^bits."""
    units = values.double().mul_(power_of_two(bits - exponent))
    return units.round_().clamp_(-float(1 << bits), float(1 << bits))


@dataclass(frozen=True)
class GradientTable:
    """The gradient of a loss at every step of a score, in units: float64 integers [2 * MAX_STEP + 1].

    `negatives_S`: of a negative, in units of `negative_unit`. `changes_S`: what a positive has instead, minus
    that, in units of `change_unit`.
    """

    negatives_S: Tensor
    changes_S: Tensor
    negative_unit: float
    change_unit: float

    def of_positives(self) -> Tensor:
        """The gradient of a positive at every step, not in units: float64 [2 * MAX_STEP + 1]."""
        return self.negatives_S * self.negative_unit + self.changes_S * self.change_unit

    @staticmethod
    def of(loss_in_place: LossInPlace, device: torch.device) -> "GradientTable":
        """The table of a loss; computed on the CPU, so that it is the same on every device."""
        steps_S = torch.arange(-MAX_STEP, MAX_STEP + 1)
        negatives_S1, positives_S1 = ((steps_S / STEPS_PER_SCORE).unsqueeze(1) for _ in range(2))
        rows_S = torch.arange(len(steps_S))
        loss_in_place(negatives_S1, rows_S[:0], rows_S[:0])  # scores become their gradients
        loss_in_place(positives_S1, rows_S, torch.zeros_like(rows_S))
        negatives_S = negatives_S1.squeeze(1).double()
        changes_S = positives_S1.squeeze(1).double() - negatives_S
        negatives, negative_unit = _in_units(negatives_S, NEGATIVE_BITS)
        changes, change_unit = _in_units(changes_S, POSITIVE_BITS)
        return GradientTable(negatives.to(device), changes.to(device), negative_unit, change_unit)


def places_(scores: Tensor) -> Tensor:
    """The place of each score in a GradientTable, int64; `scores`, float64, are overwritten."""
    steps = scores.mul_(STEPS_PER_SCORE).round_().clamp_(-MAX_STEP, MAX_STEP)
    return steps.add_(MAX_STEP).long()


def _in_units(values: Tensor, bits: int) -> tuple[Tensor, float]:
    """The values in units, and the unit."""
    size = exponent(values.abs().amax())
    return to_units(values, size, bits), float(power_of_two(size - bits))
