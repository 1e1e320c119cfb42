"""Whose a folder is: the name of an unfinished folder ends with the process that works in it.

NAME.HOST.MACHINE.PID-START.TOKEN

MACHINE stands for a boot of a machine and a namespace of process ids: only a process with the same one can
check the PID. START is when the process began, since another may get its PID later. TOKEN is random, so that
no two folders of a process are the same. A folder that nobody works in is called NAME alone.

Processes on other machines can't be checked. They touch their folders every BEAT seconds, which file systems
show to all machines; one that is SILENT for longer is taken for dead. It is the observer's own clock that
counts these seconds, so a clock that jumps, or another machine's clock, makes nobody dead.
"""

import hashlib
import os
import re
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

BEAT, SILENT = 10.0, 60.0
OWNED = re.compile(
    r"(?P<name>.+)\.(?P<host>[^.]+)\.(?P<machine>\w+)\.(?P<pid>\d+)-(?P<start>\d*)\.(?P<token>\w+)"
)
HOST = os.uname().nodename.replace(".", "-") or "localhost"


@dataclass(frozen=True)
class Owner:
    """A process that works, or worked, in a folder. `start` is "" where the system doesn't tell."""

    host: str
    machine: str
    pid: int
    start: str

    @property
    def is_here(self) -> bool:
        """Whether the process can be checked from here."""
        return self.machine == machine()

    @property
    def is_alive(self) -> bool:
        """Whether the process, which `is_here`, still runs."""
        try:
            os.kill(self.pid, 0)  # signal 0 only checks whether the process exists
        except ProcessLookupError:
            return False
        except PermissionError:  # it exists, but belongs to another user
            pass
        return self.start == _start(self.pid)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def owned(name: str) -> str:
    """The name of a new folder that belongs to this process."""
    pid = os.getpid()
    return f"{name}.{HOST}.{machine()}.{pid}-{_start(pid)}.{uuid.uuid4().hex[:8]}"


def owner_of(folder: Path) -> Owner | None:
    """The owner of a folder; None for a folder that nobody works in."""
    found = OWNED.fullmatch(folder.name)
    return Owner(found["host"], found["machine"], int(found["pid"]), found["start"]) if found else None


def name_of(folder: Path) -> str:
    """The name of a folder without its owner."""
    found = OWNED.fullmatch(folder.name)
    return found["name"] if found else folder.name


@cache
def machine() -> str:
    """8 hex digits for this boot of this machine and this namespace of process ids."""
    facts = [HOST]
    with suppress(OSError):  # not Linux: the name of the host has to do
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii"))
        facts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("".join(facts).encode()).hexdigest()[:8]


def _start(pid: int) -> str:
    """When a process began, in clock ticks since the boot; "" where that isn't known."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return ""
    # The name of the program comes second, in brackets, and may hold anything.
    return status.rpartition(")")[2].split()[19]


class Watch:
    """Finds out which folders are abandoned; for those of other machines this takes SILENT seconds."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[int, float]] = {}  # folder -> its last touch, and when that was seen

    def is_abandoned(self, folder: Path) -> bool:
        """Whether nobody works in `folder` any more; call it again and again."""
        owner = owner_of(folder)
        if owner is None or owner.is_here:
            return owner is None or not owner.is_alive
        try:
            touched = folder.stat().st_mtime_ns
        except FileNotFoundError:
            return False
        last, since = self._seen.get(folder, (None, 0.0))
        if last != touched:
            self._seen[folder] = touched, time.monotonic()
            return False
        return time.monotonic() - since > SILENT


@contextmanager
def touching(*folders: Path) -> Iterator[None]:
    """Touch the folders of this process during the block, so that other machines see that it is alive."""
    ended = threading.Event()

    def touch() -> None:
        while not ended.wait(BEAT):
            for folder in folders:
                with suppress(OSError):  # it may be gone, and the work says so itself
                    os.utime(folder)

    thread = threading.Thread(target=touch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
