"""Optional libraries: importing them with a clear error, and keeping their output off standard output."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from xmcpipe.errors import XmcpipeError

INSTALL = {"pecos": "libpecos"}  # what pip calls a package, if that is not its name


def import_library(name: str) -> Any:
    """The module `name`. Raises XmcpipeError, with the command that installs it, if it can't be imported."""
    package = name.partition(".")[0]
    try:
        module = import_module(name)
        if module.__file__ is None:  # a folder of this name, which is no package
            raise ImportError(f"{name} is only a folder here")
        return module
    except ImportError as error:
        raise XmcpipeError(
            f"the baseline {package} expects the package {package}, which can't be imported: {error}",
            f"pip install {INSTALL.get(package, package)}",
        ) from error


@contextmanager
def quiet_library() -> Iterator[None]:
    """Keep what a library prints off standard output, which is for results, such as JSON.

    It goes to standard error if that is a terminal, else nowhere: progress bars would fill a log file. The
    libraries print from C++ and Rust, which Python's own redirection doesn't reach.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = {number: os.dup(number) for number in (1, 2)}
    try:
        if os.isatty(2):
            os.dup2(2, 1)
        else:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for number in saved:
                os.dup2(nowhere, number)
            os.close(nowhere)
        yield
    finally:
        for number, copy in saved.items():
            os.dup2(copy, number)
            os.close(copy)
