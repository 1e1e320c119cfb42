"""Signals that end a process: the work stops where nothing is lost, and the exit code is 128 + the signal.

They are SIGINT (Ctrl-C), SIGTERM (`kill`, and batch systems before they end a job), SIGHUP (the terminal was
closed) and SIGQUIT (Ctrl-\\). After `install`, a signal raises `Interrupted` in the main thread: the stage
that runs removes its unfinished folder, and the command ends with one line. Two kinds of work choose the
moment themselves:

    with deferred():        # a training: it asks `requested` after every step, and then writes a checkpoint
    with held():            # a few renames that belong together: the signal takes effect at the end

Senders repeat themselves: `timeout` and batch systems send SIGTERM to the process and to its group, a closed
terminal sends SIGHUP twice. So only Ctrl-C and Ctrl-\\ count a second time: they end deferred work at once.
A program that imports the package installs nothing, and gets the KeyboardInterrupt of Python.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

CTRL_C = signal.SIGINT
SIGNALS = (CTRL_C, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
URGENT = (CTRL_C, signal.SIGQUIT)  # a user at a keyboard sent them
STREAMS = (1, 2)  # descriptors of standard output and standard error


class Interrupted(BaseException):
    """The work was ended by a signal; `kept` says how far it is, if that is more than finished stages."""

    def __init__(self, number: int, kept: str = "") -> None:
        super().__init__(number, kept)
        self.number, self.kept = number, kept

    @property
    def name(self) -> str:
        """The signal's name, for example SIGTERM."""
        return signal.Signals(self.number).name


class _State:
    """What the handler knows. There is one: signals belong to the process."""

    first: int | None = None  # the first signal that arrived
    waiting: int | None = None  # a signal that arrived while it was held
    deferrals = holds = 0  # blocks that the main thread is in
    on_terminal: tuple[int, ...] = ()  # those of STREAMS that were terminals at the start


def install() -> None:
    """Handle SIGNALS, except for those that are ignored, for example by `nohup`."""
    _State.first = _State.waiting = None
    _State.on_terminal = tuple(stream for stream in STREAMS if os.isatty(stream))
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _handle)


def leave_at_once() -> None:
    """From now on signals end the process at once, without a line: for the end of a command."""
    for number in SIGNALS:
        if signal.getsignal(number) == _handle:
            signal.signal(number, lambda number, _: os._exit(128 + number))


@contextmanager
def deferred() -> Iterator[None]:
    """During the block the first signal only sets `requested`; a second Ctrl-C raises `Interrupted`."""
    _State.deferrals += 1
    try:
        yield
    finally:
        _State.deferrals -= 1


def requested() -> int | None:
    """The number of the signal that asked deferred work to end; None if there was none."""
    return _State.first


@contextmanager
def held() -> Iterator[None]:
    """Signals that arrive during the block take effect at its end."""
    _State.holds += 1
    try:
        yield
    finally:
        _State.holds -= 1
    if _State.waiting is not None and not _State.holds:
        number, _State.waiting = _State.waiting, None
        _act(number)


@contextmanager
def blocked() -> Iterator[None]:
    """Processes and threads that start during the block get no signals; this thread gets them at the end.

    Ctrl-C goes to all processes of a terminal, and batch systems signal all processes of a job. Workers that
    get none of it end when their parent does.
    """
    with held():  # another thread may get the signal, and this one handles it
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _handle(number: int, _: FrameType | None) -> None:
    _leave_closed_terminal()
    if _State.first is not None and number not in URGENT:
        return  # sent again
    if _State.holds:
        _State.waiting = number
        return
    _act(number)


def _act(number: int) -> None:
    first, _State.first = _State.first, number
    if first is None and _State.deferrals:
        if 2 in _State.on_terminal:
            # Not by print: the signal may have come while the main thread was printing.
            with suppress(OSError):
                os.write(2, b"\nstopping after this step, with a checkpoint; Ctrl-C again stops at once\n")
        return
    raise Interrupted(number)


def _leave_closed_terminal() -> None:
    """Let what is printed from now on go nowhere if the terminal is gone: a write would be an error."""
    for stream in _State.on_terminal:
        if not os.isatty(stream):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream)
            os.close(nowhere)
