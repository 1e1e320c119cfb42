"""Scores of a group in bfloat16, two connections at a time: AVX512-BF16 multiplies and adds pairs.

`vdpbf16ps` adds a0 * b0 + a1 * b1 to a float32, with a0, a1, b0 and b1 in bfloat16: twice the terms of an FMA
in the same time. So the columns of the batch are gathered two by two, as words of two bfloat16, and so are
the weights; products are exact, sums are float32. Without that instruction `dot_pairs` gives nearly the same
sums by two FMAs, and `PAYS` is False.

A word is stored as the float32 of its bits, and never computed with. K fan-in, W rows of a panel.
"""

from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba.core import config, types

from xmcpipe.ops.cpu.arrays import Features, Index, Width
from xmcpipe.ops.cpu.rounding import Floats
from xmcpipe.ops.cpu.simd.compiling import compiled, instruction
from xmcpipe.ops.cpu.simd.floats import bits_of, float_of
from xmcpipe.ops.cpu.simd.vectors import (
    LANES,
    VectorType,
    address,
    fused_multiply_add,
    shuffled,
    store,
    vector_of,
)

# A chosen CPU (NUMBA_CPU_NAME, NUMBA_CPU_FEATURES) may have fewer instructions than this one.
_CHOSEN = bool(config.CPU_NAME or config.CPU_FEATURES)
PAYS = not _CHOSEN and binding.get_host_cpu_features().get("avx512bf16", False)

if PAYS:
    binding.initialize_native_asmparser()  # LLVM reads the instruction's name when it compiles a kernel

UPPER = np.uint32(0xFFFF0000)


@instruction
def load_pairs(typing: Any, array: Any, first: Any, second: Any, width: Any) -> Any:
    """Words of two columns of a panel: the lower half from `array[first]` on, the upper from `array[second]`.

    `array` is as for `simd.vectors.load`; float32 is cut to its upper 16 bits.
    """
    vector = vector_of(width)
    half = vector.lanes // 2

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        count = vector.lanes if array.dtype == types.float32 else half
        words = ir.VectorType(ir.IntType(32), count)
        shift, upper = ir.Constant(words, [16] * count), ir.Constant(words, [0xFFFF0000] * count)
        lower = ir.Constant(words, [0xFFFF] * count)
        places = [[arguments[0], place] for place in arguments[1:3]]
        a, b = (builder.load(address(context, builder, array, each, words), align=2) for each in places)
        joined = builder.or_(builder.lshr(a, shift), builder.and_(b, upper))  # the upper halves
        if count == half:
            # Even places are the first half of the lanes, odd places the second.
            even = builder.or_(builder.and_(a, lower), builder.shl(b, shift))
            joined = shuffled(builder, even, joined, range(vector.lanes))
        return builder.bitcast(joined, ir.VectorType(ir.FloatType(), vector.lanes))

    return vector(array, types.intp, types.intp, width), codegen


def _by_instruction(builder: Any, a: Any, b: Any, sums: Any) -> Any:
    """One register of LANES words."""
    kind = ir.FunctionType(sums.type, [sums.type] * 3)
    assembly = ir.InlineAsm(kind, "vdpbf16ps $2, $1, $0", "=v,v,v,0", side_effect=False)
    return builder.call(assembly, [a, b, sums])


def _by_products(builder: Any, a: Any, b: Any, sums: Any) -> Any:
    """The same with float32: a bfloat16 is the upper half of its bits."""
    words = ir.VectorType(ir.IntType(32), LANES)
    shift, upper = ir.Constant(words, [16] * LANES), ir.Constant(words, [0xFFFF0000] * LANES)
    a, b = builder.bitcast(a, words), builder.bitcast(b, words)
    for half in (
        [builder.shl(each, shift) for each in (a, b)],
        [builder.and_(each, upper) for each in (a, b)],
    ):
        left, right = (builder.bitcast(each, sums.type) for each in half)
        sums = fused_multiply_add(builder, left, right, sums)
    return sums


@instruction
def dot_pairs(typing: Any, a: Any, b: Any, sums: Any) -> Any:
    """sums + a0 * b0 + a1 * b1 for words of bfloat16 (a0, a1) and (b0, b1)."""
    one = _by_instruction if PAYS else _by_products

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes = [range(begin, begin + LANES) for begin in range(0, a.lanes, LANES)]
        registers = [
            one(builder, *(shuffled(builder, each, each, part) for each in arguments)) for part in lanes
        ]
        while len(registers) > 1:
            pairs = zip(registers[::2], registers[1::2], strict=True)
            registers = [shuffled(builder, *pair, range(2 * pair[0].type.count)) for pair in pairs]
        return registers[0]

    assert isinstance(a, VectorType)
    return a(a, a, a), codegen


@compiled
def pack_pairs(values: Floats, words: Floats) -> None:
    """Write words of neighbouring values, which bfloat16 holds exactly: values [2n] to words [n]."""
    for place in range(len(words)):
        low, high = bits_of(values[2 * place]), bits_of(values[2 * place + 1])
        words[place] = float_of((low >> np.uint32(16)) | (high & UPPER))


@compiled
def gather_pairs(x: Features, start: int, index_K: Index, words: Floats, width: Width) -> None:
    """Write words of the columns that a group reads, two by two; an odd last one is its own partner.

    `start` is the place of a panel's first column.
    """
    lanes, last = LANES * len(width), len(index_K) - 1
    for k in range(0, len(index_K), 2):
        first, second = np.int64(index_K[k]), np.int64(index_K[min(k + 1, last)])
        pair = load_pairs(x, start + first * lanes, start + second * lanes, width)
        store(words, k // 2 * lanes, pair)
