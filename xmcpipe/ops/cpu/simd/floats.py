"""The bits of a float32 in numba functions."""

from typing import Any

from llvmlite import ir
from numba.core import types

from xmcpipe.ops.cpu.simd.compiling import instruction


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
