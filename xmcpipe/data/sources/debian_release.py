"""A Debian Release file and the indexes that it names, fetched and checked."""

import gzip
import lzma
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xmcpipe.artifacts.fingerprint import CHUNK_BYTES, sha256_of_file
from xmcpipe.data.fetch import web
from xmcpipe.data.fetch.transfer import forget, transfer
from xmcpipe.errors import XmcpipeError

HINT = "check the network, mirror and suite"


@dataclass(frozen=True)
class Listed:
    """What a Release file says of one index."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Release:
    """The indexes of one suite: `base` is its URL, `files` maps paths below it to their hash and size."""

    base: str
    files: dict[str, Listed]

    def fetch(self, name: str, folder: Path) -> Path | None:
        """The index `name`, uncompressed, in `folder`; None where the suite hasn't got it.

        A file left complete by an earlier attempt is not fetched again. Raises XmcpipeError where it can't be
        had or its hash isn't the Release file's.
        """
        ending = next((ending for ending in (".xz", ".gz", "") if name + ending in self.files), None)
        if ending is None:
            return None
        compressed = folder / (name.replace("/", "_") + ending + ".fetched")
        listed = self.files[name + ending]
        if not compressed.is_file() or sha256_of_file(compressed) != listed.sha256:
            _download(f"{self.base}/{name}{ending}", listed, compressed)
        path = folder / name.replace("/", "_")
        opener: Any = {".xz": lzma.open, ".gz": gzip.open, "": open}[ending]
        with opener(compressed, "rb") as source, path.open("wb") as target:
            shutil.copyfileobj(source, target, CHUNK_BYTES)
        return path


def fetch_release(mirror: str, suite: str) -> Release:
    """The Release file of `suite` on `mirror`. Raises XmcpipeError where it can't be had or has no sha256."""
    base = f"{mirror.rstrip('/')}/dists/{suite}"
    try:
        text = _read_text(f"{base}/InRelease")
    except XmcpipeError:
        text = _read_text(f"{base}/Release")
    files: dict[str, Listed] = {}
    in_hashes = False
    for line in text.splitlines():
        parts = line.split()
        if not line.startswith(" "):
            in_hashes = line.startswith("SHA256:")
        elif in_hashes and len(parts) == 3:
            files[parts[2]] = Listed(parts[0], int(parts[1]))
    if not files:
        raise XmcpipeError(f"the Release file of {base} lists no sha256", "check mirror and suite")
    return Release(base, files)


def _download(url: str, listed: Listed, path: Path) -> None:
    partial = path.with_suffix(".part")
    transfer(url, partial, hint=HINT)
    found = sha256_of_file(partial)
    if found != listed.sha256:
        forget(partial)
        raise XmcpipeError(
            f"{url} has sha256 {found[:12]}…, its Release file says {listed.sha256[:12]}…",
            "the mirror may be being updated: try again, or name another mirror",
        )
    partial.rename(path)
    forget(partial)


def _read_text(url: str) -> str:
    with web.open_url(url, hint=HINT) as answer:
        pieces = iter(lambda: web.read(answer, url, HINT), b"")
        return b"".join(pieces).decode(errors="replace")
