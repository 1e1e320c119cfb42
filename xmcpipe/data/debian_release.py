"""A Debian Release file and the indexes that it names, fetched and checked with the standard library."""

import gzip
import hashlib
import http.client
import lzma
import shutil
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from xmcpipe.artifacts.fingerprint import CHUNK_BYTES, sha256_of_file
from xmcpipe.errors import XmcpipeError
from xmcpipe.progress import progress

TIMEOUT_SECONDS = 30


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
        with _open(f"{base}/InRelease") as file:
            text = file.read().decode(errors="replace")
    except XmcpipeError:
        with _open(f"{base}/Release") as file:
            text = file.read().decode(errors="replace")
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
    digest = hashlib.sha256()
    partial = path.with_suffix(".part")
    with (
        _open(url) as source,
        partial.open("wb") as target,
        progress(f"Downloading {url.rsplit('/', 1)[1]}", listed.bytes, "B", scale=True) as bar,
    ):
        while piece := _read(source, url):
            digest.update(piece)
            target.write(piece)
            bar.update(len(piece))
    if digest.hexdigest() != listed.sha256:
        partial.unlink()
        raise XmcpipeError(
            f"{url} has sha256 {digest.hexdigest()[:12]}…, its Release file says {listed.sha256[:12]}…",
            "the mirror may be being updated: try again, or name another mirror",
        )
    partial.rename(path)


def _open(url: str) -> IO[bytes]:
    try:
        answer: IO[bytes] = urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _unreachable(url, error) from error
    return answer


def _read(source: IO[bytes], url: str) -> bytes:
    try:
        return source.read(CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(url, error) from error


def _unreachable(url: str, error: Exception) -> XmcpipeError:
    reason = getattr(error, "reason", None) or error
    return XmcpipeError(f"{url} can't be fetched: {reason}", "check the network, mirror and suite")
