"""Standard input as a source of texts: whether there is any, and its lines as they arrive.

A thread reads the lines, so that a batch can be predicted when no line arrived for a moment: a batch that
waits until it is full would keep a slow writer waiting.
"""

import os
import queue
import select
import stat
import sys
import threading
import time
from array import array
from collections.abc import Iterator
from fcntl import ioctl
from termios import FIONREAD

WAIT = 0.1  # seconds from the first line of a batch until the batch is predicted
LINES_AHEAD = 4096  # lines that are read before they are predicted: a bound of the memory
READ_BYTES = 1 << 16


def is_terminal() -> bool:
    """Whether standard input is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty()


def has_data(patience: float) -> bool | None:
    """Whether a pipe, or a file that the shell opened, has bytes to read; nothing is read.

    Waits up to `patience` seconds for a pipe. Returns None for a pipe that stays open without a byte. A
    terminal, /dev/null and a closed input have none.
    """
    try:
        descriptor = sys.stdin.fileno()
        kind = os.fstat(descriptor)
    except (OSError, ValueError, AttributeError):  # closed, or no file at all
        return False
    if stat.S_ISREG(kind.st_mode):
        return os.lseek(descriptor, 0, os.SEEK_CUR) < kind.st_size
    if not stat.S_ISFIFO(kind.st_mode) and not stat.S_ISSOCK(kind.st_mode):
        return False
    if not select.select([descriptor], [], [], patience)[0]:
        return None
    waiting = array("i", [0])
    ioctl(descriptor, FIONREAD, waiting)
    return waiting[0] > 0  # a closed pipe is readable, and has nothing


def batches_of_lines(size: int) -> Iterator[list[bytes]]:
    """Yield lines without their line feed, at most `size` at a time, at most WAIT after the first arrived."""
    lines: queue.Queue[bytes | BaseException | None] = queue.Queue(LINES_AHEAD)
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    ended = False
    while not ended:
        batch: list[bytes] = []
        latest = float("inf")
        while len(batch) < size:
            try:
                line = lines.get(timeout=None if not batch else max(0.0, latest - time.monotonic()))
            except queue.Empty:
                break
            if isinstance(line, BaseException):
                raise line
            if line is None:
                ended = True
                break
            batch.append(line)
            if len(batch) == 1:
                latest = time.monotonic() + WAIT
        if batch:
            yield batch


def _read(lines: "queue.Queue[bytes | BaseException | None]") -> None:
    """Put each line into the queue, then None or the error that ended it."""
    rest = b""
    try:
        while piece := _piece():
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                lines.put(line)
        if rest:
            lines.put(rest)
        lines.put(None)
    except BaseException as error:  # raised again by the thread that waits for lines
        lines.put(error)


def _piece() -> bytes:
    """The bytes that have arrived, or the next ones; empty at the end.

    Not by `sys.stdin.buffer`: a thread that waits in it holds its lock, which Python needs to end.
    """
    try:
        return os.read(sys.stdin.fileno(), READ_BYTES)
    except (AttributeError, ValueError, OSError):
        # No file descriptor: a program that calls the command put another object in its place, or closed it.
        return b"" if sys.stdin is None or sys.stdin.closed else sys.stdin.buffer.read(READ_BYTES)
