"""`ops/losses.py` for one label's scores, in numba.

The loops are written so that LLVM turns them into vector instructions: no calls, no sums across rows, and an
exponential of our own (Cody and Waite's reduction, a Taylor polynomial), as numba has none for vectors.

B rows, P positives of the label.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xmcpipe.ops.cpu.panels import Width
from xmcpipe.ops.cpu.rounding import Floats
from xmcpipe.ops.cpu.simd import LANES, compiled, dot, float_of, load, splat

ZERO, HALF, ONE, TWO = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(2.0)
LOWEST = np.float32(-87.0)  # e^x is subnormal below
LOG2_E = np.float32(1.44269504)
LN2_HIGH, LN2_LOW = np.float32(0.693145751953125), np.float32(1.42860677e-06)
FACTORIAL_3, FACTORIAL_4, FACTORIAL_5, FACTORIAL_6, FACTORIAL_7 = np.array(
    [1 / 6, 1 / 24, 1 / 120, 1 / 720, 1 / 5040], np.float32
)
THIRD, FIFTH, SEVENTH, NINTH, ELEVENTH, THIRTEENTH = np.array(
    [1 / 3, 1 / 5, 1 / 7, 1 / 9, 1 / 11, 1 / 13], np.float32
)


@compiled
def exponential(x: Any) -> Any:
    """e^x of a float32 that is not positive; never below 1e-38."""
    x = LOWEST if x < LOWEST else x
    power = np.floor(x * LOG2_E + HALF)
    r = (x - power * LN2_HIGH) - power * LN2_LOW
    tail = FACTORIAL_5 + r * (FACTORIAL_6 + r * FACTORIAL_7)
    series = ONE + r * (ONE + r * (HALF + r * (FACTORIAL_3 + r * (FACTORIAL_4 + r * tail))))
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
    """Loss and gradient of negatives: max(0, 1 + s)^2."""
    for row in range(num_rows):
        slack = scores[row] + ONE
        slack = ZERO if slack < ZERO else slack
        losses[row], scores[row] = slack * slack, TWO * slack


@compiled
def bce_negatives(scores: Floats, num_rows: int, losses: Floats) -> None:
    """Loss and gradient of negatives: ln(1 + e^s), from e^-|s|, which can't overflow."""
    for row in range(num_rows):
        score = scores[row]
        e = exponential(-abs(score))
        losses[row] = (ZERO if score < ZERO else score) + log_one_plus(e)
        scores[row] = (e if score < ZERO else ONE) / (ONE + e)


@compiled
def losses_row(
    scores: Floats, num_rows: int, rows_P: NDArray[np.int64], hinge: bool, losses: Floats, width: Width
) -> Any:
    """The sum of a label's losses; the first `num_rows` of `scores` become its gradient, the rest 0.

    A positive is a negative of the opposite score. `losses` is room to work in, as long as `scores`, zeros
    after the first `num_rows`. What is not a number stays so.
    """
    for row in rows_P:
        scores[row] = -scores[row]
    if hinge:
        hinge_negatives(scores, num_rows, losses)
    else:
        bce_negatives(scores, num_rows, losses)
    for row in rows_P:
        scores[row] = -scores[row]
    scores[num_rows:] = ZERO
    return row_total(losses, width)


@compiled
def row_total(values: Floats, width: Width) -> Any:
    """The sum of `values`, a multiple of the width long."""
    lanes, one, sum_of_rows = LANES * len(width), splat(ONE, width), ZERO
    for offset in range(0, len(values), lanes):
        sum_of_rows += dot(load(values, offset, width), one)
    return sum_of_rows
