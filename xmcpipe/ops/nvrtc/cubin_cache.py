"""Caches compiled kernels between runs: one file each, named by the hash of everything it depends on.

A file is a line of JSON (key, format, length and sha256 of the cubin, facts), followed by the cubin. It is
written to a temporary file in the same folder and renamed, so that two processes may write the same file. A
file that is truncated, foreign or of another format counts as missing, and the kernel is compiled again. A
folder that can't be written is no error, but every run compiles again.
"""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xmcpipe import cache
from xmcpipe.json_file import parse_json

FORMAT = 1


def folder() -> Path:
    """The folder kernels/ of the cache (see xmcpipe.cache)."""
    return cache.folder("kernels")


def key(inputs: Mapping[str, Any]) -> str:
    """The key of a cubin that depends on these JSON values: 64 hex digits."""
    text = json.dumps({"format": FORMAT, **inputs}, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read(key: str) -> tuple[bytes, dict[str, Any]] | None:
    """The cubin of this key and the facts stored with it; None if there is no intact file."""
    try:
        head, newline, code = _path(key).read_bytes().partition(b"\n")
        header = parse_json(head)
        intact = newline and header["key"] == key and header["format"] == FORMAT
        if not intact or header["bytes"] != len(code) or header["sha256"] != hashlib.sha256(code).hexdigest():
            return None
        return code, dict(header["facts"])
    # Whatever a damaged or foreign file contains raises one of these; the kernel is then compiled again.
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write(key: str, code: bytes, facts: Mapping[str, Any]) -> bool:
    """Store a cubin and JSON facts about it; False if the folder can't be written."""
    header = {"format": FORMAT, "key": key, "bytes": len(code), "facts": dict(facts)}
    header["sha256"] = hashlib.sha256(code).hexdigest()
    path = _path(key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
            try:
                file.write(json.dumps(header, sort_keys=True).encode() + b"\n" + code)
                file.close()
                Path(file.name).replace(path)  # atomic: a reader sees no file or all of it
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError:
        return False
    return True


def _path(key: str) -> Path:
    return folder() / f"{key}.cubin"
