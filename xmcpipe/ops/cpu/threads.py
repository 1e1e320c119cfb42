"""Runs slices of labels on torch's own threads.

Results must not depend on the number of threads. Therefore the slices depend on the shape alone, and they are
summed in their order; each thread runs the next slice when it is free.

Torch's workers spin for milliseconds after each of its operations, waiting for the next. A second pool next
to them (a ThreadPoolExecutor, or numba's parallel loops) gets only the remaining cores: the scores of 131,072
labels took 42 ms instead of 12 on two cores. So the work is given to torch's own workers, as a parallel
region of the same OpenMP, entered by a C function. The function that the workers call is Python; it soon
enters the compiled slice, which runs without the interpreter's lock.
"""

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Lock
from typing import Any, TypeVar

import torch

SLICES = 32  # most slices of a layer: enough for 32 threads
MIN_LABELS = 2048  # fewest labels of a slice: with fewer, the interpreter's time would count

Result = TypeVar("Result")
Body = Callable[[Any], None]
Region = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def slices(num_labels: int, max_slices: int = SLICES, group: int = 1) -> list[tuple[int, int]]:
    """[begin, end) of at most `max_slices` slices, all of the same size except the last.

    The size is a multiple of `group`.
    """
    size = max(-(-num_labels // max_slices), MIN_LABELS)
    size = -(-size // group) * group
    return [(begin, min(begin + size, num_labels)) for begin in range(0, num_labels, size)]


def over_slices(function: Callable[[int, int, int], Result], parts: list[tuple[int, int]]) -> list[Result]:
    """The results of `function(number, begin, end)` of each slice, in order of the slices.

    The function should release the interpreter's lock. The first exception of a slice is raised here, and no
    further slice starts.
    """
    pending = iter([(number, begin, end) for number, (begin, end) in enumerate(parts)])
    results: dict[int, Result] = {}
    errors: list[BaseException] = []
    lock = Lock()

    def body(_: Any) -> None:
        while True:
            with lock:
                call = None if errors else next(pending, None)
            if call is None:
                return
            try:
                results[call[0]] = function(*call)
            except BaseException as error:  # an exception can't pass through OpenMP's C frames
                errors.append(error)

    _on_threads(body, min(torch.get_num_threads(), len(parts)))
    if errors:
        raise errors[0]
    return [results[number] for number in range(len(parts))]


def _on_threads(body: Body, threads: int) -> None:
    """Call `body` once on each of `threads` threads, and wait for them."""
    parallel = _openmp()
    if threads <= 1:
        body(None)
    elif parallel is not None:
        parallel(Region(body), None, threads, 0)
    else:
        list(_pool(threads, os.getpid()).map(body, range(threads)))


@cache
def _openmp() -> Any:
    """GCC's entry into a parallel region, from the OpenMP that torch has loaded; None if it lacks one."""
    try:
        parallel = ctypes.CDLL(None).GOMP_parallel
    except (AttributeError, OSError, TypeError):
        return None
    parallel.argtypes, parallel.restype = [Region, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint], None
    return parallel


@cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """The pool of `process`: a forked child lacks its parent's threads, so each process needs its own."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"xmcpipe-{process}")
