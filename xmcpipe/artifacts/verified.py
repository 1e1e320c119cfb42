"""Verifies the files of an artifact before a stage computes on them, and remembers which it has seen whole.

Small files are hashed every time. A large one is hashed once on each machine, and again when its size, its
time of modification or its inode changes:

STORE/.verified/HOST/ID.json   name -> [bytes, mtime in ns, inode, sha256] of the large files of one artifact
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from xmcpipe.artifacts.containing import store_of
from xmcpipe.artifacts.fingerprint import sha256_of_file
from xmcpipe.artifacts.manifest import Output
from xmcpipe.artifacts.owner import HOST
from xmcpipe.artifacts.store import Artifact
from xmcpipe.errors import XmcpipeError
from xmcpipe.json_file import parse_json

VERIFIED = ".verified"
SMALL_BYTES = 1 << 20
Seen = dict[str, list[Any]]


class Verified:
    """Verifies artifacts; what it has seen is remembered in the store at `root`, if that can be written."""

    def __init__(self, root: Path) -> None:
        self._folder = root / VERIFIED / HOST

    def require_whole(self, artifact: Artifact) -> None:
        """Raise XmcpipeError, which names the file, unless all files are as the manifest says."""
        seen = self._read(artifact)
        found: Seen = {}
        for name, output in artifact.manifest.outputs.items():
            path = artifact.path / name
            try:
                state = _state(path)
                known = [*state, output.sha256]
                if state[0] != output.bytes or (seen.get(name) != known and not _is_whole(path, output)):
                    raise _changed(artifact, name, f"{path} was changed")
            except OSError as error:
                raise _changed(artifact, name, f"{path} can't be read: {error.strerror}") from error
            if output.bytes > SMALL_BYTES:
                found[name] = known
        if found != seen:
            self._write(artifact, found)

    def remember(self, artifact: Artifact) -> None:
        """Remember the files of an artifact that was just published: they were hashed then."""
        large = {name: each for name, each in artifact.manifest.outputs.items() if each.bytes > SMALL_BYTES}
        if large:
            states = {name: _state(artifact.path / name) for name in large}
            self._write(artifact, {name: [*states[name], each.sha256] for name, each in large.items()})

    def _file(self, artifact: Artifact) -> Path:
        place = hashlib.sha256(str(artifact.path.resolve()).encode()).hexdigest()
        return self._folder / f"{place[:16]}.json"

    def _read(self, artifact: Artifact) -> Seen:
        try:
            seen = parse_json(self._file(artifact).read_text(encoding="utf-8"))
        except (OSError, ValueError):  # it is only a cache
            return {}
        return seen if isinstance(seen, dict) else {}

    def _write(self, artifact: Artifact, seen: Seen) -> None:
        path = self._file(artifact)
        part = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(seen), encoding="utf-8")
            part.rename(path)
        except OSError:  # a store that can't be written: the files are hashed again next time
            part.unlink(missing_ok=True)


def require_whole(artifact: Artifact) -> None:
    """Raise XmcpipeError as `Verified.require_whole` does; its store remembers what was seen.

    A copy outside any store is read to its last byte each time.
    """
    store = store_of(artifact)
    if store is None:
        require_whole_now(artifact)
    else:
        Verified(store.root).require_whole(artifact)


def require_whole_now(artifact: Artifact) -> None:
    """Raise XmcpipeError as `Verified.require_whole` does, after reading every byte."""
    for name, output in artifact.manifest.outputs.items():
        path = artifact.path / name
        try:
            whole = _is_whole(path, output)
        except OSError as error:
            raise _changed(artifact, name, f"{path} can't be read: {error.strerror}") from error
        if not whole:
            raise _changed(artifact, name, f"{path} was changed")


def _state(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def _is_whole(path: Path, output: Output) -> bool:
    # A pipe or a device has 0 bytes, and reading it might never end.
    return path.is_file() and path.stat().st_size == output.bytes and sha256_of_file(path) == output.sha256


def _changed(artifact: Artifact, name: str, message: str) -> XmcpipeError:
    manifest = artifact.manifest
    output = manifest.outputs[name]
    return XmcpipeError(
        f"{message}: expected {output.bytes:,} bytes with sha256 {output.sha256[:16]}…, as in its manifest",
        f"run `xmcpipe {manifest.stage} --force` to make this {manifest.kind} artifact again",
    )
