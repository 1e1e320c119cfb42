"""Where files live that several stores and runs share: compiled kernels, downloaded archives."""

import os
from pathlib import Path

VARIABLE = "XMCPIPE_CACHE"


def folder(part: str) -> Path:
    """`part` of $XMCPIPE_CACHE, or of xmcpipe's part of the user's cache; it may not exist yet."""
    if given := os.environ.get(VARIABLE):
        return Path(given).expanduser() / part
    home = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification has relative paths ignored.
    return (Path(home) if Path(home).is_absolute() else Path.home() / ".cache") / "xmcpipe" / part
