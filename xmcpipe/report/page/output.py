"""Writes the page to its file, completely or not at all."""

import os
from contextlib import suppress
from pathlib import Path

from xmcpipe.errors import XmcpipeError


def require_writable(path: Path) -> None:
    """Raise XmcpipeError unless a page can be written to `path`. Call it before minutes of measuring."""
    try:
        folder = Path(os.path.realpath(path)).parent if path.is_symlink() else path.parent
        if path.is_dir():
            raise XmcpipeError(
                f"--output: expected a file, got the folder {path}", f"for example -o {path}/report.html"
            )
        if path.exists() and not path.is_file():  # renaming the page would replace a pipe or a device
            raise XmcpipeError(
                f"--output: expected a regular file, got {path}, which is none", "for example -o report.html"
            )
        if not folder.is_dir():
            raise XmcpipeError(f"--output: the folder {folder} does not exist", "create it, or name another")
        if not os.access(folder, os.W_OK):
            raise XmcpipeError(f"--output: {folder} can't be written", "check its permissions")
    except OSError as error:  # for example, the name is too long
        raise _unwritable(path, error) from error


def write_whole(path: Path, text: str) -> None:
    """Write to a temporary file next to `path` and rename it: readers see the old page or the new one.

    If `path` is a link, the file that it points to is replaced. Raises XmcpipeError if writing fails.
    """
    target = Path(os.path.realpath(path))
    # Not the name of the page with a suffix: that could exceed the maximum length of a file name.
    temporary = target.with_name(f".{os.getpid()}.part")
    try:
        with temporary.open("w", encoding="utf-8", errors="replace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        with suppress(OSError):  # the file was renamed, or never created
            temporary.unlink()


def _unwritable(path: Path, error: OSError) -> XmcpipeError:
    return XmcpipeError(f"--output: {path} can't be written: {error.strerror}", "name another file with -o")
