"""The folder of files that all stores and runs share: compiled kernels and downloaded archives."""

import os
from pathlib import Path

VARIABLE = "XMCPIPE_CACHE"


def folder(part: str) -> Path:
    """Folder `part` of the cache: $XMCPIPE_CACHE, or else xmcpipe's folder in the user's cache (XDG).

    It may not exist yet.
    """
    if chosen := os.environ.get(VARIABLE):
        return Path(chosen).expanduser() / part
    home = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says to ignore relative paths.
    return (Path(home) if Path(home).is_absolute() else Path.home() / ".cache") / "xmcpipe" / part
