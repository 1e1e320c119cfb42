"""Tells failures of a disk from faults of the program, wherever they occur, and reports them in one line.

A disk is full, broken, read-only or of somebody else, or a path is none that a file can have: the user can
mend that, and a traceback doesn't help.
"""

import errno
import os
import shutil
from pathlib import Path

from xmcpipe.errors import XmcpipeError

FULL = {errno.ENOSPC, errno.EDQUOT}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
BROKEN = {errno.EIO, errno.ENXIO, errno.ENODEV, errno.EREMOTEIO, errno.ESTALE, errno.ENOTCONN}
TOO_MANY_FILES = {errno.EMFILE, errno.ENFILE}
BAD_PATHS = {errno.ENAMETOOLONG, errno.ELOOP}
_HINTS = {
    "check its permissions, or name another store with --store DIR or XMCPIPE_STORE": FORBIDDEN,
    "check the disk, then run the same command again: what is whole is kept": BROKEN,
    "raise the limit of open files, for example with `ulimit -n 4096`": TOO_MANY_FILES,
    "name another path": BAD_PATHS,
}
HINTS = {number: hint for hint, numbers in _HINTS.items() for number in numbers}
# Libraries that write through C++ or Rust raise errors without an errno, so their text is checked.
_TEXTS = {os.strerror(number).lower(): number for number in (*FULL, *HINTS)}


def disk_error(error: BaseException, what: str, folder: Path) -> XmcpipeError | None:
    """The error to report if `error` or one of its causes is a failure of a disk; None for any other error.

    `what` names the stage or program that was at work, `folder` the place to name if the error names none.
    An error that is for the user already stays what it is, unless the disk is full.
    """
    found = _failure(error)
    if found is None:
        return None
    number, path = found
    if number in FULL:
        return XmcpipeError(
            f"disk full: {what} could not write to {folder}{_free_space(folder)}; incomplete output was "
            "removed",
            "free some space, for example with `xmcpipe gc`, or name another folder with --store DIR",
        )
    if isinstance(error, XmcpipeError):
        return None
    place = path or f"a file in {folder}"
    return XmcpipeError(f"{what} could not read or write {place}: {os.strerror(number)}", HINTS[number])


def is_disk_error(error: BaseException) -> bool:
    """Whether `error` or one of its causes is a failure of a disk."""
    return _failure(error) is not None


def _failure(error: BaseException) -> tuple[int, str] | None:
    """The errno of the failure of a disk, and the path that it names, if any; None for other errors."""
    cause: BaseException | None = error
    # The chain of causes: a library's error is often raised from the OSError, or while handling it.
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in (*FULL, *HINTS):
            assert cause.errno is not None
            # Files that are open are named by their number.
            return cause.errno, cause.filename if isinstance(cause.filename, str) else ""
        text = str(cause).lower()
        for message, number in _TEXTS.items():
            if message in text:
                return number, ""
        cause = cause.__cause__ or cause.__context__
    return None


def _free_space(folder: Path) -> str:
    try:
        return f" ({shutil.disk_usage(folder).free / 2**20:,.0f} MiB free)"
    except OSError:
        return ""
