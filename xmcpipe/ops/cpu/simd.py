"""Vectors of float32 as values in numba functions, so that sums stay in registers; and the bits of a float.

Numba leaves vectorising to LLVM. In a loop over gathered rows LLVM does not hold the sums in registers, and
can't prove that two rows don't overlap. A vector type makes both explicit: `load`, `store` and `fma` become
LLVM instructions of its width, and LLVM splits them into the registers of the CPU (AVX-512, AVX2, NEON).
The width must be known from a type: it is the length of the tuple `width`, 16 lanes for each element.
"""

import fcntl
import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from llvmlite import binding, ir
from numba import njit
from numba.core import cgutils, config, types
from numba.core.compiler_lock import global_compiler_lock
from numba.extending import intrinsic, models, register_model

LANES = 16  # float32 in an AVX-512 register
# Elsewhere registers have half or a quarter of these lanes, and there are too few of them for 16 vectors.
WIDE = binding.get_host_cpu_features().get("avx512f", False)
SIDE = LANES if WIDE else LANES // 2  # of the blocks that are transposed in registers

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(function: Kernel) -> Kernel:
    """Compile `function` at its first call, to run without the interpreter's lock; cached on disk."""
    return _cached(function)


def inlined(function: Kernel) -> Kernel:
    """Like `compiled`, and inlined into every caller: a call copies each field of each array to the stack."""
    return _cached(function, forceinline=True)


def compiled_reassociating(function: Kernel) -> Kernel:
    """Like `compiled`, but LLVM may reorder sums, and so vectorise them."""
    return _cached(function, fastmath={"reassoc", "contract"})


def _cached(function: Kernel, **options: Any) -> Kernel:
    """`function` compiled at its first call, with a cache that an edit of any kernel's file renews.

    Numba by itself keeps a compiled function as long as the function's own file is the same, even if a file
    that it calls into has changed.
    """
    folder = _cache_folder()
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder)  # read when the decorator is applied
    try:
        kernel: Any = njit(nogil=True, cache=True, error_model="numpy", **options)(function)
    finally:
        config.CACHE_DIR = before
    compile_signature = kernel.compile

    def compile_once(signature: Any) -> Any:
        # The lock of numba first: else two threads could wait for each other's lock.
        with global_compiler_lock, _locked(folder, f"{function.__module__}.{function.__name__} {signature}"):
            return compile_signature(signature)

    kernel.compile = compile_once
    return cast(Kernel, kernel)


@contextmanager
def _locked(folder: Path, name: str) -> Iterator[None]:
    """Let processes that need the same kernel wait for the first of them to compile it, which takes seconds.

    They read it from the cache then. Where no file can be locked, each compiles it.
    """
    path = folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.lock"
    with ExitStack() as held:
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            fcntl.flock(held.enter_context(path.open("wb")), fcntl.LOCK_EX)
        yield


@cache
def _cache_folder() -> Path:
    """A folder named by the text of all kernels; numba uses its own folders if this one can't be written."""
    here = Path(__file__).parent
    texts = [path.read_bytes() for path in sorted(here.glob("*.py"))]
    return here / "__pycache__" / hashlib.sha256(b"".join(texts)).hexdigest()[:16]


def instruction(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make an instruction for kernels; `function` maps argument types to a signature and a code generator."""
    wrapped: Callable[..., Any] = intrinsic(function)
    return wrapped


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
        undefined = ir.Constant(ir.VectorType(ir.FloatType(), vector.lanes), ir.Undefined)
        first = builder.insert_element(undefined, arguments[0], ir.Constant(ir.IntType(32), 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), vector.lanes), None)
        return builder.shuffle_vector(first, undefined, mask)

    return vector(types.float32, width), codegen


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

        for top in range(0, LANES, SIDE):
            for left in range(0, LANES, SIDE):
                rows = [builder.load(place(0, top + number, left), align=4) for number in range(SIDE)]
                for number, row in enumerate(_transposed(builder, rows)):
                    builder.store(row, place(3, left + number, top), align=4)
        return context.get_dummy_value()

    integer = types.intp
    return types.none(source, integer, integer, target, integer, integer), codegen


@instruction
def float_of(typing: Any, bits: Any) -> Any:
    """The float32 of these 32 bits, uint32."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.uint32), codegen


@instruction
def bits_of(typing: Any, value: Any) -> Any:
    """The 32 bits of a float32, uint32."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.uint32(types.float32), codegen
