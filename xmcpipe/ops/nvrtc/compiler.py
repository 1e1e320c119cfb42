"""Compiles kernels on the user's machine by NVRTC, through cuda-bindings.

It needs no nvcc, no host compiler and no build at installation. Each kernel takes a fraction of a second,
once: the cubin is stored in the user's cache.

Nothing here needs a GPU or a driver. Registers and shared memory are read from the log of ptxas (`-v`).
"""

import re
import time
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from xmcpipe.errors import XmcpipeError
from xmcpipe.ops.nvrtc import cubin_cache, driver
from xmcpipe.ops.nvrtc.architectures import ARCHITECTURES, number_of
from xmcpipe.ops.nvrtc.source import text_of
from xmcpipe.ops.nvrtc.variant import Variant

STANDARD = "c++17"
INSTALL = "pip install 'xmcpipe[gpu]'"


@dataclass(frozen=True)
class Resources:
    """Resources of a kernel: registers, bytes of stack and spills per thread; shared memory per block."""

    registers: int
    stack: int
    spill_stores: int
    spill_loads: int
    shared: int


@dataclass(frozen=True)
class Cubin:
    """A compiled kernel; `seconds` is the time to compile it, 0 if it came from the cache."""

    code: bytes
    resources: Resources
    cached: bool
    seconds: float


@cache
def unavailable_reason() -> str | None:
    """The reason why nothing can be compiled here, in one line; None if it can."""
    try:
        if reason := driver.missing_reason():
            return reason
        _version()
    except ImportError as error:
        return f"the 'gpu' extra isn't installed: {error}"
    except (RuntimeError, OSError) as error:  # cuda-bindings raises RuntimeError for a missing library
        return f"NVRTC doesn't load: {' '.join(str(error).split())}"
    return None


def require() -> None:
    """Raise XmcpipeError if nothing can be compiled here."""
    if reason := unavailable_reason():
        raise XmcpipeError(f"kernels can't be compiled: {reason}", INSTALL)


@cache
def version() -> tuple[int, int]:
    """NVRTC's version (major, minor). Raises XmcpipeError if NVRTC is missing."""
    require()
    return _version()


def compile_kernel(variant: Variant, architecture: str) -> Cubin:
    """The cubin of a kernel's variant for an architecture ("sm_90"), from the cache or compiled now.

    Raises XmcpipeError if NVRTC is missing, and RuntimeError with NVRTC's log if the text doesn't compile.
    """
    text = text_of(variant.kernel.source)
    key = _key(variant, architecture, text)
    if cached := cubin_cache.read(key):
        code, facts = cached
        return Cubin(code, Resources(**facts), cached=True, seconds=0.0)
    begin = time.perf_counter()
    try:
        code, log = _translate(variant, architecture, text)
    except Exception as error:
        error.add_note(f"while compiling {variant.kernel.entry} ({variant}) for {architecture}")
        raise
    resources = resources_in(log, variant.kernel.entry)
    cubin_cache.write(key, code, asdict(resources))
    return Cubin(code, resources, cached=False, seconds=time.perf_counter() - begin)


def is_cached(variant: Variant, architecture: str) -> bool:
    """Whether `compile_kernel` would find the cubin in the cache."""
    return cubin_cache.read(_key(variant, architecture, text_of(variant.kernel.source))) is not None


def resources_in(log: str, entry: str) -> Resources:
    """The resources that ptxas reports for the kernel `entry`. Raises ValueError if the log lacks it."""
    _, heading, rest = log.partition(f"Compiling entry function '{entry}'")
    report = rest.partition("Compiling entry function")[0]
    used = re.search(r"Used (\d+) registers", report)
    # ptxas prints a line for each function that isn't inlined, so the lines are summed.
    frames = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", report)
    if not heading or used is None or not frames:
        raise ValueError(f"expected ptxas to report on {entry}, got:\n{log}")
    shared = re.search(r"(\d+) bytes smem", report)
    stack, stores, loads = (sum(map(int, column)) for column in zip(*frames, strict=True))
    return Resources(int(used[1]), stack, stores, loads, int(shared[1]) if shared else 0)


def architecture_of(capability: tuple[int, int]) -> str:
    """The architecture ("sm_90") to compile for, for a device of this compute capability.

    Code for a revision also runs on later revisions of the same major number. So if NVRTC doesn't know the
    device's own revision, the nearest one below is used. Raises XmcpipeError if there is none.
    """
    major, minor = capability
    oldest = min(map(number_of, ARCHITECTURES))
    for below in range(minor, -1, -1):  # from the device's own revision down
        number = 10 * major + below
        if oldest <= number and number in _compiled_for():
            return f"sm_{number}"
    raise XmcpipeError(
        f"NVRTC {version()[0]}.{version()[1]} doesn't compile for compute capability {major}.{minor}",
        f"use a GPU of sm_{oldest} or newer; for a newer GPU than NVRTC knows, upgrade the 'gpu' extra",
    )


def _translate(variant: Variant, architecture: str, text: str) -> tuple[bytes, str]:
    """The cubin, and the compiler's log."""
    from cuda.bindings import nvrtc

    require()
    # One piece of text without include paths, so that `_key` covers all that the result depends on.
    macros = [f"--define-macro={name}={value}" for name, value in variant.macros]
    options = [
        f"-arch={variant.kernel.target(architecture)}",
        "--ptxas-options=-v",
        *macros,
        f"--std={STANDARD}",
    ]
    name = variant.kernel.source.encode()
    program = _checked(nvrtc.nvrtcCreateProgram(text.encode(), name, 0, [], []))
    try:
        (status,) = nvrtc.nvrtcCompileProgram(program, len(options), [each.encode() for each in options])
        log = b" " * _checked(nvrtc.nvrtcGetProgramLogSize(program))
        _checked(nvrtc.nvrtcGetProgramLog(program, log))  # writes into `log`
        said = log.rstrip(b"\0 ").decode(errors="replace")
        if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            raise RuntimeError(f"{status.name}: {said}")
        code = b" " * _checked(nvrtc.nvrtcGetCUBINSize(program))
        _checked(nvrtc.nvrtcGetCUBIN(program, code))
    finally:
        nvrtc.nvrtcDestroyProgram(program)
    return code, said


def _key(variant: Variant, architecture: str, text: str) -> str:
    """The hash of everything that a cubin depends on."""
    return cubin_cache.key(
        {
            "text": text,
            "entry": variant.kernel.entry,
            "macros": sorted(variant.macros),
            "architecture": variant.kernel.target(architecture),
            "nvrtc": version(),
            "standard": STANDARD,
        }
    )


@cache
def _compiled_for() -> frozenset[int]:
    """The architectures that this NVRTC compiles for, as numbers (90 for sm_90)."""
    require()
    from cuda.bindings import nvrtc

    status, architectures = nvrtc.nvrtcGetSupportedArchs()
    assert status == nvrtc.nvrtcResult.NVRTC_SUCCESS
    return frozenset(architectures)


def _version() -> tuple[int, int]:
    from cuda.bindings import nvrtc

    status, major, minor = nvrtc.nvrtcVersion()
    _checked((status,))
    return int(major), int(minor)


def _checked(result: tuple[Any, ...]) -> Any:
    """The value that a call of NVRTC returned. Raises RuntimeError if it failed."""
    status, *values = result
    if int(status) != 0:
        raise RuntimeError(f"NVRTC call failed: {status.name}")
    return values[0] if values else None
