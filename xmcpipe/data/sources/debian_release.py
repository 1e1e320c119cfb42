"""Downloads a Debian Release file and the indexes that it lists, and checks these against its hashes."""

import gzip
import lzma
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xmcpipe.artifacts.fingerprint import CHUNK_BYTES, sha256_of_file
from xmcpipe.data.fetch import web
from xmcpipe.data.fetch.transfer import remove_partial, transfer
from xmcpipe.errors import XmcpipeError

HINT = "check the network, mirror and suite"


@dataclass(frozen=True)
class IndexEntry:
    """The hash and the size of an index, as the Release file lists them."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Release:
    """The indexes of one suite: `base` is its URL, `files` maps paths below it to their hash and size."""

    base: str
    files: dict[str, IndexEntry]

    def fetch(self, name: str, folder: Path) -> Path | None:
        """Download the index `name` and unpack it into `folder`; None if the suite doesn't have it.

        A complete file of an earlier attempt is not downloaded again. Raises XmcpipeError if the index can't
        be downloaded, or if its hash differs from that in the Release file.
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
    """Read the Release file of `suite` on `mirror`. Raises XmcpipeError if that fails or it has no sha256."""
    base = f"{mirror.rstrip('/')}/dists/{suite}"
    try:
        text = _read_text(f"{base}/InRelease")
    except XmcpipeError:
        text = _read_text(f"{base}/Release")
    # The section "SHA256:" has indented lines of hash, size and path.
    files: dict[str, IndexEntry] = {}
    in_hashes = False
    for line in text.splitlines():
        parts = line.split()
        if not line.startswith(" "):
            in_hashes = line.startswith("SHA256:")
        elif in_hashes and len(parts) == 3:
            files[parts[2]] = IndexEntry(parts[0], int(parts[1]))
    if not files:
        raise XmcpipeError(f"the Release file of {base} lists no sha256", "check mirror and suite")
    return Release(base, files)


def _download(url: str, listed: IndexEntry, path: Path) -> None:
    """Download an index to `path`, by way of a partial file, and check its hash."""
    partial = path.with_suffix(".part")
    transfer(url, partial, hint=HINT)
    actual = sha256_of_file(partial)
    if actual != listed.sha256:
        remove_partial(partial)
        raise XmcpipeError(
            f"{url}: expected sha256 {listed.sha256[:12]}…, as in the Release file, got {actual[:12]}…",
            "the mirror may be updating: try again later, or name another mirror",
        )
    partial.rename(path)
    remove_partial(partial)


def _read_text(url: str) -> str:
    with web.open_url(url, hint=HINT) as answer:
        pieces = iter(lambda: web.read_piece(answer, url, HINT), b"")
        return b"".join(pieces).decode(errors="replace")
