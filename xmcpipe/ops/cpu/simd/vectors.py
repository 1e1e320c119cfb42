"""Vectors of float32 as values in numba functions, so that sums stay in registers.

Numba leaves vectorising to LLVM. In a loop over gathered rows LLVM does not hold the sums in registers, and
can't prove that two rows don't overlap. A vector type makes both explicit: `load`, `store` and `fma` become
LLVM instructions of its width, and LLVM splits them into the registers of the CPU (AVX-512, AVX2, NEON).
The width must be known from a type: it is the length of the tuple `width`, 16 lanes for each element.
"""

from collections.abc import Iterable
from typing import Any

from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.extending import models, register_model

from xmcpipe.ops.cpu.simd.compiling import instruction

LANES = 16  # float32 in an AVX-512 register
# Elsewhere registers have half or a quarter of these lanes, and there are too few of them for 16 vectors.
WIDE = binding.get_host_cpu_features().get("avx512f", False)


class VectorType(types.Type):
    """`lanes` float32 values."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(name=f"float32x{lanes}")


@register_model(VectorType)
class VectorModel(models.PrimitiveModel):
    """An LLVM vector."""

    def __init__(self, manager: Any, vector: VectorType) -> None:
        super().__init__(manager, vector, ir.VectorType(ir.FloatType(), vector.lanes))


def vector_of(width: Any) -> VectorType:
    """The vector type of a `width` tuple."""
    return VectorType(LANES * width.count)


def address(context: Any, builder: Any, array_type: Any, arguments: Any, vector: Any) -> Any:
    """A pointer to an LLVM `vector`, at the array and offset that are the first two `arguments`."""
    data = context.make_array(array_type)(context, builder, arguments[0]).data
    return builder.bitcast(builder.gep(data, [arguments[1]]), vector.as_pointer())


def shuffled(builder: Any, a: Any, b: Any, lanes: Iterable[int]) -> Any:
    """These lanes of the concatenation of `a` and `b`."""
    mask = [ir.Constant(ir.IntType(32), lane) for lane in lanes]
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(mask)), mask))


def in_every_lane(builder: Any, value: Any, lanes: int) -> Any:
    """A vector of `lanes` times the LLVM float `value`."""
    undefined = ir.Constant(ir.VectorType(ir.FloatType(), lanes), ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), lanes), None)
    return builder.shuffle_vector(first, undefined, mask)


def fused_multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c of LLVM vectors, rounded once."""
    name = f"llvm.fma.v{a.type.count}f32"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(a.type, [a.type] * 3), name)
    return builder.call(function, [a, b, c])


@instruction
def load(typing: Any, array: Any, offset: Any, width: Any) -> Any:
    """A vector of the values from `array[offset]` on; `array` [n] is contiguous, float32 or bits of bfloat16.

    In bfloat16 (uint16), the first half of the lanes is stored at even places and the second half at odd
    ones. Read as 32-bit words, a shift extracts the even places and a mask the odd ones.
    """
    vector = vector_of(width)
    half = vector.lanes // 2

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if array.dtype == types.float32:
            floats = ir.VectorType(ir.FloatType(), vector.lanes)
            return builder.load(address(context, builder, array, arguments, floats), align=4)
        words = ir.VectorType(ir.IntType(32), half)
        pairs = builder.load(address(context, builder, array, arguments, words), align=2)
        even = builder.shl(pairs, ir.Constant(words, [16] * half))
        odd = builder.and_(pairs, ir.Constant(words, [0xFFFF0000] * half))
        floats = ir.VectorType(ir.FloatType(), half)
        even, odd = builder.bitcast(even, floats), builder.bitcast(odd, floats)
        return shuffled(builder, even, odd, range(vector.lanes))

    return vector(array, types.intp, width), codegen


@instruction
def store(typing: Any, array: Any, offset: Any, vector: Any) -> Any:
    """Write the values to `array` from `offset` on; float32 [n], contiguous."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = address(context, builder, array, arguments, arguments[2].type)
        builder.store(arguments[2], pointer, align=4)
        return context.get_dummy_value()

    return types.none(array, types.intp, vector), codegen


@instruction
def unowned(typing: Any, array: Any) -> Any:
    """The same array without reference counting, so that selecting a row is free; its owner must outlive it.

    Counting is atomic: about ten operations for each label, which take as long as the arithmetic.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        view = context.make_array(array)(context, builder, arguments[0])
        view.meminfo = cgutils.get_null_value(view.meminfo.type)
        view.parent = cgutils.get_null_value(view.parent.type)
        return view._getvalue()

    return array(array), codegen


@instruction
def splat(typing: Any, value: Any, width: Any) -> Any:
    """The float32 `value` in every lane."""
    vector = vector_of(width)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return in_every_lane(builder, arguments[0], vector.lanes)

    return vector(types.float32, width), codegen


@instruction
def load_splat(typing: Any, array: Any, offset: Any, width: Any) -> Any:
    """The float32 `array[offset]` in every lane; `array` [n] is contiguous.

    Selected with brackets the value would cost a test for a negative offset, which counts from the end.
    """
    vector = vector_of(width)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(array)(context, builder, arguments[0]).data
        return in_every_lane(builder, builder.load(builder.gep(data, [arguments[1]])), vector.lanes)

    return vector(array, types.intp, width), codegen


@instruction
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return fused_multiply_add(builder, *arguments)

    return a(a, a, a), codegen


@instruction
def dot(typing: Any, a: Any, b: Any) -> Any:
    """The sum of a * b over the lanes. The order of the additions is fixed, but is not that of the lanes."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        scalar, register = ir.FloatType(), ir.VectorType(ir.FloatType(), LANES)
        add_up = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(scalar, [scalar, register]),
            f"llvm.vector.reduce.fadd.v{LANES}f32",
        )
        # One register of 16 partial sums, whatever the width; then one sum across its lanes.
        sums = ir.Constant(register, [0.0] * LANES)
        for begin in range(0, a.lanes, LANES):
            lanes = range(begin, begin + LANES)
            parts = [shuffled(builder, vector, vector, lanes) for vector in arguments]
            sums = fused_multiply_add(builder, *parts, sums)
        return builder.call(add_up, [ir.Constant(scalar, 0.0), sums], fastmath=("reassoc",))

    return types.float32(a, a), codegen
