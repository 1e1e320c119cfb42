"""`~` at the beginning of a path."""

import os
from pathlib import Path


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path with `~` or `~user` replaced by that user's home; a name that begins with ~ by chance stays.

    `./~name` is the way to write a file called ~name if there is a user called name.
    """
    if not os.fspath(path).startswith("~"):
        return Path(path)
    try:
        return Path(path).expanduser()
    except RuntimeError:  # no such user
        return Path(path)
