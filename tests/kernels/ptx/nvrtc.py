"""NVRTC's PTX and machine code of a kernel, for the options that the package compiles it with.

NVRTC is called directly, since the project compiles to machine code. Both have line information, which
changes no instruction.
"""

from functools import cache
from typing import Any

from tests.kernels.host.kernel import Macros
from xmcpipe.ops.nvrtc.compiler import STANDARD

ARCHITECTURE = "sm_90"


@cache
def ptx_of(text: str, name: str, macros: Macros, architecture: str = ARCHITECTURE) -> str:
    """The PTX of a CUDA text, with `.loc` lines that tell where each instruction is from.

    Raises AssertionError with NVRTC's log if the text doesn't compile.
    """
    from cuda.bindings import nvrtc

    program = _compiled(text, name, macros, architecture)
    ptx = b" " * nvrtc.nvrtcGetPTXSize(program)[1]
    nvrtc.nvrtcGetPTX(program, ptx)
    nvrtc.nvrtcDestroyProgram(program)
    return str(ptx.decode()).rstrip("\0 ")


def cubin_of(text: str, name: str, macros: Macros, architecture: str = ARCHITECTURE) -> bytes:
    """The cubin that ptxas makes of the same PTX."""
    from cuda.bindings import nvrtc

    program = _compiled(text, name, macros, architecture)
    cubin = b" " * nvrtc.nvrtcGetCUBINSize(program)[1]
    nvrtc.nvrtcGetCUBIN(program, cubin)
    nvrtc.nvrtcDestroyProgram(program)
    return bytes(cubin)


def _compiled(text: str, name: str, macros: Macros, architecture: str) -> Any:
    from cuda.bindings import nvrtc

    options = [f"--gpu-architecture={architecture}", f"-std={STANDARD}", "-lineinfo"]
    options += [f"-D{macro}={value}" for macro, value in macros]
    status, program = nvrtc.nvrtcCreateProgram(text.encode(), name.encode(), 0, [], [])
    assert status == nvrtc.nvrtcResult.NVRTC_SUCCESS, status
    (status,) = nvrtc.nvrtcCompileProgram(program, len(options), [option.encode() for option in options])
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        log = b" " * nvrtc.nvrtcGetProgramLogSize(program)[1]
        nvrtc.nvrtcGetProgramLog(program, log)
        raise AssertionError(log.decode().rstrip("\0 "))
    return program
