"""A disk that fills up is the user's fault to mend, so it is told in one line wherever it happens."""

import errno
import shutil
from pathlib import Path

from xmcpipe.errors import XmcpipeError

FULL = {errno.ENOSPC, errno.EDQUOT}
# Libraries that write through C++ or Rust tell it in words only.
WORDS = ("no space left on device", "disk quota exceeded")


def disk_full(error: BaseException, what: str, folder: Path) -> XmcpipeError | None:
    """The error for the user where `error`, or what caused it, is a full disk; None for any other error."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in FULL:
            break
        if any(words in str(cause).lower() for words in WORDS):
            break
        cause = cause.__cause__ or cause.__context__
    else:
        return None
    return XmcpipeError(
        f"disk full: {what} had no room left in {folder}{_room(folder)}, and nothing half-written was kept",
        "free some room, with `xmcpipe gc` for example, or name another folder with --store DIR",
    )


def _room(folder: Path) -> str:
    try:
        return f" ({shutil.disk_usage(folder).free / 2**20:,.0f} MiB free)"
    except OSError:
        return ""
