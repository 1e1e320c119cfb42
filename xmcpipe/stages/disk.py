"""Detects a full disk, wherever it occurs, and reports it in one line: it is not a fault of the program."""

import errno
import shutil
from pathlib import Path

from xmcpipe.errors import XmcpipeError

FULL = {errno.ENOSPC, errno.EDQUOT}
# Libraries that write through C++ or Rust raise errors without an errno, so their text is checked.
MESSAGES = ("no space left on device", "disk quota exceeded")


def disk_full(error: BaseException, what: str, folder: Path) -> XmcpipeError | None:
    """The error to report if `error` or one of its causes is a full disk; None for any other error.

    `what` names the stage or program that was writing into `folder`.
    """
    if not is_disk_full(error):
        return None
    return XmcpipeError(
        f"disk full: {what} could not write to {folder}{_free_space(folder)}; incomplete output was removed",
        "free some space, for example with `xmcpipe gc`, or name another folder with --store DIR",
    )


def is_disk_full(error: BaseException) -> bool:
    """Whether `error` or one of its causes is a full disk."""
    cause: BaseException | None = error
    # The chain of causes: a library's error is often raised from the OSError, or while handling it.
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in FULL:
            return True
        if any(message in str(cause).lower() for message in MESSAGES):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _free_space(folder: Path) -> str:
    try:
        return f" ({shutil.disk_usage(folder).free / 2**20:,.0f} MiB free)"
    except OSError:
        return ""
