"""Builds the shared library of a kernel from its PTX, in place of `host.kernel.build_from_text`."""

import ctypes
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from tests.kernels.host import kernel as host_kernel
from tests.kernels.host.kernel import Macros
from tests.kernels.ptx import arithmetic, movement, nvrtc, parse, warpgroups, warps, writer
from tests.kernels.ptx import translate as translation
from tests.kernels.ptx.nvrtc import ARCHITECTURE, ptx_of
from xmcpipe.ops.nvrtc import compiler
from xmcpipe.ops.nvrtc.kernel_table import KERNELS
from xmcpipe.ops.nvrtc.source import text_of

HERE = Path(__file__).parent
FLAGS = ["-std=c++20", "-O1", "-ffp-contract=off", "-fwrapv", "-frounding-math", "-shared", "-fPIC", "-w"]
FLAGS += [f"-I{HERE}"]
TRANSLATOR = (arithmetic, movement, nvrtc, parse, translation, warpgroups, warps, writer)
HEADERS = [
    host_kernel.HERE / "host.hpp",
    *(HERE / f"machine/{name}.hpp" for name in ("arithmetic", "async", "warpgroups", "warps")),
]
MACHINE = "".join(f'#include "{header}"\n' for header in HEADERS)


@cache
def build_from_ptx(
    entry: str,
    macros: Macros,
    text: str | None = None,
    counted: bool = False,
    architecture: str = ARCHITECTURE,
) -> Path:
    """The library of a kernel, or of a changed `text` of it; `counted`: see `machine/counts.hpp`."""
    source, target = KERNELS[entry].source, KERNELS[entry].target(architecture)
    text = text or text_of(source)
    key = (text, repr((entry, macros, target, compiler.version())))
    return _built(key, lambda: ptx_of(text, source, macros, target), entry, counted)


def library_of(ptx: str, entry: str, counted: bool = False) -> ctypes.CDLL:
    """The library of an entry of PTX."""
    return ctypes.CDLL(str(_built((ptx, entry), lambda: ptx, entry, counted)))


def _built(key: tuple[str, ...], ptx: Callable[[], str], entry: str, counted: bool) -> Path:
    """The library of the PTX, from the cache if it has one of the same key and the same files."""
    flags = [*FLAGS, "-DXMC_COUNT"] if counted else FLAGS
    files = [*sorted(HERE.rglob("*.hpp")), *sorted(host_kernel.HERE.glob("*.hpp"))]
    files += [Path(module.__file__) for module in TRANSLATOR if module.__file__]
    digest = hashlib.sha256("\n".join([*key, *flags, *(path.read_text() for path in files)]).encode())
    return host_kernel.shared_library(
        digest.hexdigest(), lambda: translation.translate(ptx(), entry), flags, (MACHINE, flags)
    )
