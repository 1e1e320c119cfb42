"""The cache folder, which all stores and runs share: compiled kernels and downloaded archives."""

import os
from pathlib import Path

from xmcpipe.home import expanded

VARIABLE = "XMCPIPE_CACHE"


def folder(part: str) -> Path:
    """The folder `part` of the cache; it may not exist yet.

    The cache is $XMCPIPE_CACHE if that is set, else `xmcpipe` in the user's cache folder (XDG).
    """
    if chosen := os.environ.get(VARIABLE):
        return expanded(chosen) / part
    home = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says to ignore relative paths.
    return (Path(home) if Path(home).is_absolute() else Path.home() / ".cache") / "xmcpipe" / part
