"""The losses of `ops/losses` for one label's scores, in numba.

The loops contain no calls and no sums across rows, so that LLVM turns them into vector instructions. The
exponential is written here (Cody and Waite's reduction, then a Taylor polynomial), since numba has none for
vectors.

To add a loss, write its loop for negatives and give it a code in `CODES` and a branch in `label_losses`.

B rows, P positives of the label.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xmcpipe.ops.cpu.arrays import Width
from xmcpipe.ops.cpu.rounding import Floats
from xmcpipe.ops.cpu.simd.compiling import compiled
from xmcpipe.ops.cpu.simd.floats import float_of
from xmcpipe.ops.cpu.simd.vectors import LANES, dot, load, splat
from xmcpipe.ops.losses.loss import unsupported

SQUARED_HINGE, BCE = 1, 2
CODES = {"squared_hinge": SQUARED_HINGE, "bce": BCE}

ZERO, HALF, ONE, TWO = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(2.0)
NOT_A_NUMBER = np.float32(np.nan)
LOWEST = np.float32(-87.0)  # e^x is subnormal below
LOG2_E = np.float32(1.44269504)
LN2_HIGH, LN2_LOW = np.float32(0.693145751953125), np.float32(1.42860677e-06)
FACTORIAL_3, FACTORIAL_4, FACTORIAL_5, FACTORIAL_6, FACTORIAL_7 = np.array(
    [1 / 6, 1 / 24, 1 / 120, 1 / 720, 1 / 5040], np.float32
)
THIRD, FIFTH, SEVENTH, NINTH, ELEVENTH, THIRTEENTH = np.array(
    [1 / 3, 1 / 5, 1 / 7, 1 / 9, 1 / 11, 1 / 13], np.float32
)


def code_of(loss: str) -> int:
    """The code by which compiled functions know the loss. Raises XmcpipeError if there is none."""
    if loss not in CODES:
        raise unsupported(loss, "the CPU step compiled by numba", CODES)
    return CODES[loss]


@compiled
def exponential(x: Any) -> Any:
    """e^x of a float32 x <= 0; the result is at least 1e-38."""
    x = LOWEST if x < LOWEST else x
    # e^x = 2^power * e^r with |r| <= ln(2) / 2. Subtracting ln 2 in two parts makes r exact.
    power = np.floor(x * LOG2_E + HALF)
    r = (x - power * LN2_HIGH) - power * LN2_LOW
    tail = FACTORIAL_5 + r * (FACTORIAL_6 + r * FACTORIAL_7)
    series = ONE + r * (ONE + r * (HALF + r * (FACTORIAL_3 + r * (FACTORIAL_4 + r * tail))))
    # 2^power is built from its bits: the exponent plus its bias, 127, in the exponent field.
    return series * float_of(np.uint32((np.int32(power) + np.int32(127)) << np.int32(23)))


@compiled
def log_one_plus(e: Any) -> Any:
    """ln(1 + e) of a float32 in [0, 1], as 2 artanh(e / (2 + e))."""
    z = e / (TWO + e)
    square = z * z
    tail = SEVENTH + square * (NINTH + square * (ELEVENTH + square * THIRTEENTH))
    return TWO * z * (ONE + square * (THIRD + square * (FIFTH + square * tail)))


@compiled
def hinge_negatives(scores: Floats, num_rows: int, losses: Floats) -> None:
    """Loss and gradient of negatives: max(0, 1 + s)^2. The gradient overwrites `scores`."""
    for row in range(num_rows):
        slack = scores[row] + ONE
        slack = ZERO if slack < ZERO else slack
        losses[row], scores[row] = slack * slack, TWO * slack


@compiled
def bce_negatives(scores: Floats, num_rows: int, losses: Floats) -> None:
    """Loss and gradient of negatives: ln(1 + e^s), by e^-|s|, which can't overflow. See `hinge_negatives`."""
    for row in range(num_rows):
        score = scores[row]
        e = exponential(-abs(score))
        losses[row] = (ZERO if score < ZERO else score) + log_one_plus(e)
        scores[row] = (e if score < ZERO else ONE) / (ONE + e)


@compiled
def label_losses(
    scores: Floats, num_rows: int, rows_P: NDArray[np.int64], code: int, losses: Floats, width: Width
) -> Any:
    """The sum of a label's losses; the first `num_rows` of `scores` become its gradient, the rest 0.

    Positives are computed as negatives of the opposite score, so a loss here must have loss(+1, s) =
    loss(-1, -s). `code` is one of CODES. `losses` is workspace as long as `scores`, with zeros after the
    first `num_rows`. NaN stays NaN.
    """
    for row in rows_P:
        scores[row] = -scores[row]
    if code == SQUARED_HINGE:
        hinge_negatives(scores, num_rows, losses)
    elif code == BCE:
        bce_negatives(scores, num_rows, losses)
    else:  # `code_of` refuses such a loss; if a branch is missing here, training stops at a NaN
        losses[:num_rows] = NOT_A_NUMBER
    for row in rows_P:
        scores[row] = -scores[row]
    scores[num_rows:] = ZERO
    return vector_sum(losses, width)


@compiled
def vector_sum(values: Floats, width: Width) -> Any:
    """The sum of `values`, whose length is a multiple of the width."""
    lanes, one, total = LANES * len(width), splat(ONE, width), ZERO
    for offset in range(0, len(values), lanes):
        total += dot(load(values, offset, width), one)
    return total
