"""Compiles the kernels by numba, and keeps them on disk."""

import fcntl
import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit
from numba.core import config
from numba.core.compiler_lock import global_compiler_lock
from numba.extending import intrinsic

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
    here = Path(__file__).parents[1]
    texts = [path.read_bytes() for path in sorted(here.rglob("*.py"))]
    return here / "__pycache__" / hashlib.sha256(b"".join(texts)).hexdigest()[:16]


def instruction(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make an instruction for kernels; `function` maps argument types to a signature and a code generator."""
    wrapped: Callable[..., Any] = intrinsic(function)
    return wrapped
