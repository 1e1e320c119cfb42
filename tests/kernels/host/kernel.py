"""A kernel of kernels/ run on the host: compiled by g++, host.hpp before its text; called by ctypes."""

import ctypes
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
KERNELS = HERE.parents[2] / "kernels"
BUILT = Path(tempfile.gettempdir()) / "xmcpipe-host-kernels"
COMPILER = shutil.which("g++")


class HostKernel:
    """The entry `entry` of kernels/SOURCE specialised by macros, callable with a grid and numpy arguments."""

    def __init__(self, source: str, entry: str, macros: Mapping[str, int]) -> None:
        library = ctypes.CDLL(str(_build(source, entry, tuple(sorted(macros.items())))))
        self._function = library.host_run

    def __call__(
        self, grid: Sequence[int], threads: int, shared: int, arguments: Sequence[Any], seed: int = 0
    ) -> None:
        """Run all blocks. Arrays are passed by address, None as a null pointer, numpy scalars by value."""
        kept = [_cell(argument) for argument in arguments]
        pointers = (ctypes.c_void_p * len(kept))(*[ctypes.addressof(cell) for cell in kept])
        shape = (ctypes.c_int * 6)(*grid, *[1] * (3 - len(grid)), threads, shared, seed)
        count = self._function(shape, pointers)
        assert count == len(kept), f"the kernel takes {count} arguments, {len(kept)} were given"


def _cell(argument: Any) -> Any:
    if argument is None:
        return ctypes.c_void_p(None)
    if isinstance(argument, np.ndarray):
        assert argument.flags.c_contiguous
        assert argument.ctypes.data % 16 == 0
        return ctypes.c_void_p(argument.ctypes.data)
    assert isinstance(argument, np.generic), (
        f"a numpy scalar is wanted, so that its width is known: {argument!r}"
    )
    return (ctypes.c_char * argument.nbytes).from_buffer_copy(argument.tobytes())


@cache
def _build(source: str, entry: str, macros: tuple[tuple[str, int], ...]) -> Path:
    assert COMPILER is not None
    texts = [HERE / "host.hpp", KERNELS / source, *sorted(KERNELS.rglob("*.cuh"))]
    digest = hashlib.sha256(b"".join(text.read_bytes() for text in texts))
    digest.update(repr((entry, macros)).encode())
    library = BUILT / f"{digest.hexdigest()[:32]}.so"
    if library.exists():
        return library
    BUILT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILT) as folder:
        text = Path(folder) / "kernel.cpp"
        text.write_text(
            f'#include "{KERNELS / source}"\n'
            f'extern "C" int host_run(const int* shape, void** arguments) {{\n'
            f"    return host::launch({entry}, shape, arguments);\n}}\n"
        )
        command = [
            COMPILER,
            "-std=c++20",
            "-O1",
            "-ffp-contract=off",
            "-shared",
            "-fPIC",
            "-DXMC_HOST",
            f"-I{KERNELS}",
        ]
        command += [f"-D{name}={value}" for name, value in macros]
        # Kernels declare what only some of their variants use.
        command += [
            "-Wall",
            "-Werror",
            "-Wno-unused-function",
            "-Wno-unused-variable",
            "-Wno-unknown-pragmas",
        ]
        command += ["-include", str(HERE / "host.hpp"), str(text), "-o", str(text.with_suffix(".so"))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        text.with_suffix(".so").rename(library)
    return library


def aligned(array: np.ndarray) -> np.ndarray:
    """A copy on a 128-byte boundary, as device memory is."""
    raw = np.empty(array.nbytes + 128, dtype=np.uint8)
    start = -raw.ctypes.data % 128
    out = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    out[...] = array
    return out
