"""Scratch folders: what survives a killed attempt. Each belongs to one process at a time.

FOLDER/NAME/          nobody works in it: the next process that makes NAME takes it over
FOLDER/NAME.OWNER/    a process works in it (see `artifacts.owner`)

To take a folder over is to rename it, and only one of several processes can. The former owner, if it was
only silent, then finds its paths gone, and can't spoil what is no longer its own. All this works without file
locks; with them a process that would have to wait here waits for the lock.
"""

import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from xmcpipe.artifacts.owner import SILENT, Watch, name_of, owned, owner_of
from xmcpipe.errors import XmcpipeError
from xmcpipe.signals import held

WAIT = 0.5  # seconds between two looks at a folder that somebody else works in
TRASH, ALL = "trash", "*"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Attempt:
    """An unfinished attempt to make an artifact.

    `scratch` is the folder of what it can be resumed from, `running` says whether a process is at work on it,
    and `idle_seconds` is the time since the last write.
    """

    scratch: Path
    running: bool
    idle_seconds: float

    @property
    def name(self) -> str:
        """The name of the folder without its owner."""
        return name_of(self.scratch)


@contextmanager
def owning(folder: Path, name: str, what: str) -> Iterator[Path]:
    """Own the scratch folder `name` in `folder` during the block; waits while another process works in it.

    `what` names the work in the log. Afterwards an empty folder is removed, and another is free for the next
    attempt. Raises XmcpipeError if another process has taken the folder over, since this one was silent.
    """
    path = _claim(folder, name, what)
    try:
        yield path
    except OSError as error:
        if path.is_dir():
            raise
        raise XmcpipeError(
            f"another process has taken over the unfinished work on {what}, because this one was silent",
            "let only one machine work in this store",
        ) from error
    finally:
        with held():
            _release(path, folder / name)


def forget(scratch: Path) -> None:
    """Empty a folder that this process owns, and remove what ended attempts at the same have left."""
    for path in _folders(scratch.parent, name_of(scratch)):
        if path != scratch and Watch().is_abandoned(path):
            discard(path)
    for path in scratch.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def discard(path: Path) -> None:
    """Remove a folder. It is renamed first, so that nobody takes over a partly removed one."""
    with suppress(FileNotFoundError):
        shutil.rmtree(path.rename(path.with_name(owned(TRASH))), ignore_errors=True)


def attempts(folder: Path, name: str = ALL) -> list[Attempt]:
    """The attempts that have a scratch folder in `folder`; with a name, only those at this, newest first."""
    found = [Attempt(path, is_at_work(path), idle_seconds(path)) for path in _folders(folder, name)]
    return found if name == ALL else sorted(found, key=lambda each: (not each.running, each.idle_seconds))


def is_at_work(folder: Path) -> bool:
    """Whether the owner of a folder is alive; of one on another machine, whether it was so lately."""
    owner = owner_of(folder)
    if owner is None or owner.is_here:
        return owner is not None and owner.is_alive
    with suppress(FileNotFoundError):
        # The clock of another machine may differ a little from this one's.
        return abs(time.time() - folder.stat().st_mtime) < 10 * SILENT
    return False


def is_left(path: Path, older_than_seconds: float) -> bool:
    """Whether the owner of a folder is dead; elsewhere, whether the folder was not touched for so long."""
    owner = owner_of(path)
    if owner is not None and owner.is_here:
        return not owner.is_alive
    try:
        return time.time() - path.stat().st_mtime > older_than_seconds
    except FileNotFoundError:  # it was finished in the meantime
        return False


def idle_seconds(folder: Path) -> float:
    """Seconds since the last write in a folder, 0 if that is in the future; touches don't count."""
    times = [status.st_mtime for status in files_below(folder)]
    with suppress(FileNotFoundError):
        times = times or [folder.stat().st_mtime]
    return max(0.0, time.time() - max(times, default=time.time()))


def files_below(folder: Path) -> Iterator[os.stat_result]:
    """The status of each file below a folder in which a process may be at work, or which it may rename."""
    for root, _, names in os.walk(folder):  # unlike rglob, it passes over folders that vanish
        for name in names:
            with suppress(FileNotFoundError):
                yield (Path(root) / name).stat()


def _folders(folder: Path, name: str) -> list[Path]:
    """The scratch folders of `name`, whoever owns them, in the order of their names."""
    found = sorted(folder.glob("*/"))
    return [path for path in found if name_of(path) == name or (name == ALL and name_of(path) != TRASH)]


def _claim(folder: Path, name: str, what: str) -> Path:
    """The folder, renamed to one of this process."""
    mine, watch, said = folder / owned(name), Watch(), False
    while True:
        # Of several, left by processes that could not see each other, the last one that was written to.
        others = sorted(_folders(folder, name), key=idle_seconds)
        for path in others:
            if watch.is_abandoned(path):
                with suppress(FileNotFoundError):  # another process was faster
                    return path.rename(mine)
        if not others:
            mine.mkdir()
            return mine
        if not said:
            logger.info("%s works on %s: waiting for it, or until it is silent", owner_of(others[0]), what)
            said = True
        time.sleep(WAIT)


def _release(path: Path, free: Path) -> None:
    with suppress(FileNotFoundError):
        if not any(path.iterdir()):
            path.rmdir()
            return
        with suppress(OSError):  # somebody left another one there; this one is free when the process ends
            path.rename(free)
