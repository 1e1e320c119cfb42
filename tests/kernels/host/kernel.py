"""A kernel of kernels/ run on the host: compiled by g++ with host.hpp before its text, called by ctypes."""

import ctypes
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from xmcpipe.ops.nvrtc.kernel_table import KERNELS
from xmcpipe.ops.nvrtc.source import BYTES, Parameter, parameters
from xmcpipe.ops.nvrtc.variant import Variant

HERE = Path(__file__).parent
KERNELS_FOLDER = HERE.parents[2] / "kernels"
CACHE = Path(tempfile.gettempdir()) / "xmcpipe-host-kernels"
COMPILER = shutil.which("g++")
FLAGS = ["-std=c++20", "-O1", "-ffp-contract=off", "-shared", "-fPIC", "-DXMC_HOST", "-Wall", "-Werror"]
# The first error says enough. Kernels declare functions and variables that only some of their variants use.
FLAGS += [
    "-Wfatal-errors",
    "-Winvalid-pch",
    "-Wno-unused-function",
    "-Wno-unused-variable",
    "-Wno-unknown-pragmas",
]
ARRAY_BYTES = {**BYTES, "uint8": 1, "uint16": 2, "bfloat16": 2, "float16": 2, "float8_e4m3fn": 1}

Argument = np.ndarray[Any, Any] | np.generic | int | float | None
Macros = tuple[tuple[str, int], ...]


class HostKernel:
    """The entry of kernels/ specialised by `macros`, callable with a grid and arguments by name."""

    def __init__(self, entry: str, macros: Mapping[str, int]) -> None:
        self._entry, chosen = entry, tuple(sorted(macros.items()))
        # Compiled first: a macro's unknown value is the kernel's own error.
        library = ctypes.CDLL(str(build(entry, chosen)))
        self._parameters = _parameters(entry, chosen)
        self._function, self._failure = library.host_run, library.host_failure
        self._failure.restype = ctypes.c_char_p
        self._threads = macros.get("THREADS", KERNELS[entry].threads)
        self._cluster = macros.get("CLUSTER", 1)

    def __call__(self, grid: Sequence[int], shared: int, order: int = 0, /, **arguments: Argument) -> None:
        """Run all blocks; `order` is the seed of the order of lanes and blocks.

        Arrays are passed by address and numbers by value, in the type that the kernel's text declares.
        Optional pointers may be left out.
        """
        unknown = arguments.keys() - {parameter.name for parameter in self._parameters}
        assert not unknown, f"{self._entry} has no parameter {unknown}"
        cells = [argument_cell(parameter, arguments.get(parameter.name)) for parameter in self._parameters]
        self.run(grid, self._threads, shared, cells, order)

    def run(
        self, grid: Sequence[int], threads: int, shared: int, cells: Sequence[Any], order: int = 0
    ) -> None:
        """Run all blocks; each cell holds an argument in its width."""
        pointers = (ctypes.c_void_p * len(cells))(*[ctypes.addressof(cell) for cell in cells])
        self.run_at(grid, threads, shared, ctypes.addressof(pointers), order)

    def run_at(self, grid: Sequence[int], threads: int, shared: int, addresses: int, order: int = 0) -> None:
        """Run all blocks; `addresses` is that of an array of the addresses of all arguments."""
        shape = (ctypes.c_int * 7)(*grid, *[1] * (3 - len(grid)), threads, shared, order, self._cluster)
        count = self._function(shape, ctypes.c_void_p(addresses))
        assert count >= 0, f"{self._entry}: {self._failure().decode()}"
        expected = len(self._parameters)
        assert count == expected, f"{self._entry} has {count} parameters, got {expected} arguments"


def argument_cell(parameter: Parameter, value: Argument) -> Any:
    """A ctypes object that holds the argument in the width of the parameter."""
    if not parameter.pointer:
        assert value is not None, f"no argument for {parameter.name}"
        return scalar_cell(np.dtype(parameter.type).type(value))
    if value is None:
        assert parameter.optional, f"no argument for {parameter.name}"
        return ctypes.c_void_p(None)
    assert isinstance(value, np.ndarray), f"expected an array for {parameter.name}"
    assert value.flags.c_contiguous
    assert value.ctypes.data % 16 == 0
    assert value.itemsize == ARRAY_BYTES.get(parameter.type, value.itemsize), parameter
    return ctypes.c_void_p(value.ctypes.data)


def scalar_cell(value: np.generic) -> Any:
    """A ctypes object that holds the bytes of a number."""
    return (ctypes.c_char * value.nbytes).from_buffer_copy(value.tobytes())


@cache
def _parameters(entry: str, macros: Macros) -> tuple[Parameter, ...]:
    """The parameters of an entry; `macros` may also name those of its text that the table lacks."""
    kernel = KERNELS[entry]
    merged = {**dict(kernel.variant().macros), **dict(macros)}
    return parameters(Variant(kernel, tuple(merged.items())))


@cache
def build_from_text(entry: str, macros: Macros) -> Path:
    """The shared library of a specialised kernel, compiled once for each text, entry and macros."""
    source = KERNELS_FOLDER / KERNELS[entry].source
    texts = [*sorted(HERE.glob("*.hpp")), source, *sorted(KERNELS_FOLDER.rglob("*.cuh"))]
    digest = hashlib.sha256(b"".join(text.read_bytes() for text in texts))
    digest.update(repr((entry, macros, FLAGS)).encode())
    flags = [*FLAGS, f"-I{KERNELS_FOLDER}"]
    # Not by -D: a macro that a header of the system asks for would forbid the precompiled headers.
    text = "".join(f"#define {name} {value}\n" for name, value in macros)
    text += (
        f'#include "{source}"\n'
        f'extern "C" int host_run(const int* shape, void** arguments) {{\n'
        f"    return host::launch({entry}, shape, arguments);\n}}\n"
    )
    headers = f'#include "{HERE / "host.hpp"}"\n'
    return shared_library(digest.hexdigest(), lambda: text, flags, (headers, FLAGS))


# `tests/kernels/ptx` builds from the compiled kernel instead.
build: Callable[[str, Macros], Path] = build_from_text


def shared_library(
    digest: str, text: Callable[[], str], flags: Sequence[str], headers: tuple[str, Sequence[str]]
) -> Path:
    """The library of a C++ text, compiled if the cache has none of this digest.

    `headers` are lines that come before the text, and the flags with which they are compiled once for all.
    """
    library = CACHE / f"{digest[:32]}.so"
    if library.exists():
        return library
    with _folder() as folder:
        source = folder / "kernel.cpp"
        source.write_text(text())
        _compile([*flags, "-include", str(_precompiled(*headers)), str(source)], source.with_suffix(".so"))
        # A rename is atomic: tests that run at the same time may build the same library.
        source.with_suffix(".so").rename(library)
    return library


def _precompiled(headers: str, flags: Sequence[str]) -> Path:
    """A header that includes `headers`, beside its precompiled form: this saves 0.3 s a kernel, a third."""
    files = [path.read_bytes() for path in sorted(HERE.parent.rglob("*.hpp"))]
    digest = hashlib.sha256(b"".join([repr((headers, *flags)).encode(), *files])).hexdigest()
    made = CACHE / f"{digest[:32]}-headers"
    if not made.exists():
        with _folder() as folder:
            (folder / "all.hpp").write_text(headers)
            _compile([*flags, "-x", "c++-header", str(folder / "all.hpp")], folder / "all.hpp.gch")
            with suppress(OSError):  # another process was first
                folder.rename(made)
    return made / "all.hpp"


@contextmanager
def _folder() -> Iterator[Path]:
    """A new folder in the cache, which is removed if it is still there."""
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=CACHE))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _compile(arguments: Sequence[str], out: Path) -> None:
    assert COMPILER is not None
    result = subprocess.run(
        [COMPILER, *arguments, "-o", str(out)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
