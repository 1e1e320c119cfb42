"""Whether the encoder of a recipe is at hand."""

import os
from pathlib import Path

from xmcpipe.doctor.finding import Finding
from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling.encoder import is_downloaded, locate


def encoder(name: str) -> Finding:
    """The encoder called `name`: a folder, a package, or a hub id, which may be in the cache of the hub."""
    try:
        place = locate(name)
    except XmcpipeError as error:
        return Finding("encoder", "wrong", error.message, error.hint)
    if Path(place).is_dir():
        return Finding("encoder", "ok", f"{name}, on this machine")
    if is_downloaded(place):
        return Finding("encoder", "ok", f"{name}, in the cache of the hub")
    if os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("1", "true", "yes", "on"):
        fix = "unset HF_HUB_OFFLINE, or copy its folder here and name that"
        return Finding("encoder", "wrong", f"{name} is not here, and HF_HUB_OFFLINE is set", fix)
    return Finding(
        "encoder", "warning", f"{name} is not here: the first run downloads it", f"hf download {name}"
    )
