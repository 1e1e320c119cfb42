"""Runs a command with a time limit, and passes its lines on while it runs."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from typing import IO

TIMED_OUT = 124  # exit status
TICK = 0.5  # seconds


def follow(
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    seconds: float,
    each_line: Callable[[str], None],
    tick: Callable[[], None],
) -> int:
    """Run a command in `folder`; returns its exit status, or TIMED_OUT.

    `each_line` gets every line of its output and of its errors, one at a time; `tick` is called twice a
    second meanwhile. At the time limit, and on any exception here, the command and its processes are killed.
    """
    # A process group, and not a session: whoever kills this program's session kills the command too.
    process = subprocess.Popen(
        arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder,
        env=environment, process_group=0,
    )  # fmt: skip
    lock = Lock()
    readers = [
        Thread(target=_read, args=(stream, lock, each_line), daemon=True)
        for stream in (process.stdout, process.stderr)
    ]
    for reader in readers:
        reader.start()
    ends, status = time.monotonic() + seconds, None
    try:
        while status is None and time.monotonic() < ends:
            status = _wait(process)
            tick()
    finally:
        _kill(process)  # also what a finished command left behind: it would occupy GPU memory
    for reader in readers:
        reader.join(timeout=5)
    return TIMED_OUT if status is None else status


def _wait(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(TICK)
    except subprocess.TimeoutExpired:
        return None


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _read(stream: IO[bytes], lock: Lock, each_line: Callable[[str], None]) -> None:
    for line in stream:
        # Of a line that a progress bar rewrote only the last state counts.
        text = line.decode(errors="replace").rstrip("\r\n").rpartition("\r")[2]
        with lock:
            each_line(text)
