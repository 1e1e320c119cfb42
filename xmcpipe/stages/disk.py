"""A full disk is for the user to fix, so it is reported in one line wherever it happens."""

import errno
import shutil
from pathlib import Path

from xmcpipe.errors import XmcpipeError

FULL = {errno.ENOSPC, errno.EDQUOT}
# Libraries that write through C++ or Rust raise errors without an errno: check their text.
MESSAGES = ("no space left on device", "disk quota exceeded")


def disk_full(error: BaseException, what: str, folder: Path) -> XmcpipeError | None:
    """The error for the user if `error`, or one that caused it, is a full disk; None for any other error.

    `what` names the stage or program that was writing, and `folder` where.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in FULL:
            break
        if any(message in str(cause).lower() for message in MESSAGES):
            break
        cause = cause.__cause__ or cause.__context__
    else:
        return None
    return XmcpipeError(
        f"disk full: {what} could not write to {folder}{_free_space(folder)}; incomplete output was removed",
        "free some space, for example with `xmcpipe gc`, or name another folder with --store DIR",
    )


def _free_space(folder: Path) -> str:
    try:
        return f" ({shutil.disk_usage(folder).free / 2**20:,.0f} MiB free)"
    except OSError:
        return ""
