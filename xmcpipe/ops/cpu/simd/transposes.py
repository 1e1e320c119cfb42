"""Copies of a matrix, transposed block by block in registers."""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import types
from numpy.typing import NDArray

from xmcpipe.ops.cpu.simd.compiling import compiled, inlined, instruction
from xmcpipe.ops.cpu.simd.vectors import LANES, WIDE, address, shuffled

SIDE = LANES if WIDE else LANES // 2  # of the blocks that are transposed in registers
# Labels whose scores are transposed at a time. Few would write short runs of a row, each with a miss of the
# TLB and of the caches; many would leave the second-level cache.
BLOCK = 128


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """The columns of a square block of LLVM vectors."""
    side, rows, distance = len(rows), list(rows), 1
    while distance < side:
        # Of each pair of rows, exchange the odd lanes of one with the even lanes of the other; then pairs
        # of lanes, and so on: blocks of this size along the diagonal are transposed then.
        for first in (row for row in range(side) if not row & distance):
            pair = rows[first], rows[first + distance]
            even = [lane - lane % (2 * distance) + lane % distance for lane in range(side)]
            low = [place + side * (lane // distance % 2) for lane, place in enumerate(even)]
            rows[first] = shuffled(builder, *pair, low)
            rows[first + distance] = shuffled(builder, *pair, [lane + distance for lane in low])
        distance *= 2
    return rows


@instruction
def transpose_block(
    typing: Any, source: Any, offset: Any, step: Any, target: Any, target_offset: Any, target_step: Any
) -> Any:
    """Copy a block of LANES x LANES float32, transposed.

    Row r begins at `source[offset + r * step]`, and column c at `target[target_offset + c * target_step]`.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(ir.FloatType(), SIDE)

        def place(first: int, row: int, column: int) -> Any:
            array, start, step = arguments[first : first + 3]
            at = builder.add(start, builder.mul(step, ir.Constant(start.type, row)))
            at = builder.add(at, ir.Constant(start.type, column))
            return address(context, builder, signature.args[first], [array, at], vector)

        for left in range(0, LANES, SIDE):  # outside, so that a line of the target is written whole
            for top in range(0, LANES, SIDE):
                rows = [builder.load(place(0, top + number, left), align=4) for number in range(SIDE)]
                for number, row in enumerate(_transposed(builder, rows)):
                    builder.store(row, place(3, left + number, top), align=4)
        return context.get_dummy_value()

    integer = types.intp
    return types.none(source, integer, integer, target, integer, integer), codegen


class Matrix(NamedTuple):
    """A matrix in a flat array: the element (i, j) is values[start + i * step + j]."""

    values: NDArray[np.float32]
    start: int
    step: int


@inlined
def copy_block(
    source: Matrix, target: Matrix, row: int, column: int, num_rows: int, num_columns: int
) -> None:
    """`copy_transposed` for a block of the source from (row, column) on."""
    at, to = source.start + row * source.step + column, target.start + column * target.step + row
    if row + LANES <= num_rows and column + LANES <= num_columns:
        transpose_block(source.values, at, source.step, target.values, to, target.step)
        return
    for i in range(min(LANES, num_rows - row)):
        for j in range(min(LANES, num_columns - column)):
            target.values[to + j * target.step + i] = source.values[at + i * source.step + j]


@compiled
def copy_transposed(source: Matrix, target: Matrix, num_rows: int, num_columns: int) -> None:
    """Copy `num_rows` x `num_columns` of the source to the target, whose rows are the source's columns.

    Goes along the rows of the larger matrix, whose lines are neighbours then.
    """
    if source.step > target.step:
        for row in range(0, num_rows, LANES):
            for column in range(0, num_columns, LANES):
                copy_block(source, target, row, column, num_rows, num_columns)
    else:
        for column in range(0, num_columns, LANES):
            for row in range(0, num_rows, LANES):
                copy_block(source, target, row, column, num_rows, num_columns)
