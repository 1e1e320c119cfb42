"""The error for users: one line that states what was expected and what was found, and a hint."""

import os
from pathlib import Path


class XmcpipeError(Exception):
    """A fault in the input, not in the program: the CLI prints one line and exits with code 2.

    `message` states what was expected and what was found; `hint` states what to do next.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message if not hint else f"{message} ({hint})")
        self.message = message
        self.hint = hint


def require_file(path: Path, what: str) -> Path:
    """Return `path` if it is a readable file, else raise XmcpipeError; `what` names its expected content."""
    if not path.is_file():
        kind = "is neither a file nor a folder" if path.exists() else "does not exist"
        kind = "is a folder" if path.is_dir() else kind
        raise XmcpipeError(f"{what}: expected a file, but {path} {kind}", "check the path")
    if not os.access(path, os.R_OK):
        raise XmcpipeError(f"{what}: {path} can't be read: permission denied", "check its permissions")
    return path
