"""Compiled kernels kept between runs: a file for each, named by the hash of all that made it.

A file is a line of JSON (what it is, the length and sha256 of the rest) and the cubin. It is written beside
its place and renamed, so that two processes may write the same one; a file that is torn, foreign or of
another format is passed over, and compiled anew. A folder that can't be written costs time, and is no error.
"""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xmcpipe import cache

FORMAT = 1


def folder() -> Path:
    """kernels/ in the cache (see xmcpipe.cache)."""
    return cache.folder("kernels")


def key(made_of: Mapping[str, Any]) -> str:
    """The name of what is made of these JSON values: 64 hex digits."""
    text = json.dumps({"format": FORMAT, **made_of}, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read(key: str) -> tuple[bytes, dict[str, Any]] | None:
    """The cubin of this key and the facts kept with it; None where there is none that is whole."""
    try:
        head, newline, code = _place(key).read_bytes().partition(b"\n")
        header = json.loads(head)
        whole = newline and header["key"] == key and header["format"] == FORMAT
        if not whole or header["bytes"] != len(code) or header["sha256"] != hashlib.sha256(code).hexdigest():
            return None
        return code, dict(header["facts"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write(key: str, code: bytes, facts: Mapping[str, Any]) -> bool:
    """Keep a cubin and JSON facts of it; False where the folder can't be written."""
    header = {"format": FORMAT, "key": key, "bytes": len(code), "facts": dict(facts)}
    header["sha256"] = hashlib.sha256(code).hexdigest()
    place = _place(key)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place.parent, prefix=".", delete=False) as file:
            try:
                file.write(json.dumps(header, sort_keys=True).encode() + b"\n" + code)
                file.close()
                Path(file.name).replace(place)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError:
        return False
    return True


def _place(key: str) -> Path:
    return folder() / f"{key}.cubin"
