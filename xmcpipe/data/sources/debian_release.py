"""Downloads a Debian Release file and the indexes that it lists, and checks these against its hashes."""

import gzip
import lzma
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xmcpipe.artifacts.fingerprint import CHUNK_BYTES, sha256_of_file
from xmcpipe.data.fetch import web
from xmcpipe.data.fetch.transfer import remove_partial, transfer
from xmcpipe.errors import XmcpipeError

MOST_RELEASE_BYTES = 1 << 24  # real ones have less than 1 MB
MOST_INDEX_BYTES = 1 << 32
SLACK_BYTES = 1 << 20  # a mirror may be updating, which the hash tells better
XZ_MEMORY_BYTES = 1 << 28  # xz -9, the most in use, takes 65 MiB
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
        most = self.files[name].bytes if name in self.files else MOST_INDEX_BYTES
        try:
            with path.open("wb") as target:
                for piece in _unpacked(compressed, ending):
                    most -= target.write(piece)
                    if most < 0:
                        raise ValueError("it unpacks to more than it should")
        except (ValueError, EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile) as error:
            raise XmcpipeError(f"{self.base}/{name}{ending} can't be unpacked: {error}", HINT) from error
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
        elif in_hashes and len(parts) == 3 and re.fullmatch("[0-9]{1,12}", parts[1]):
            files[parts[2]] = IndexEntry(parts[0], int(parts[1]))
    if not files:
        raise XmcpipeError(f"the Release file of {base} lists no sha256", "check mirror and suite")
    return Release(base, files)


def _download(url: str, listed: IndexEntry, path: Path) -> None:
    """Download an index to `path`, by way of a partial file, and check its hash."""
    partial = path.with_suffix(".part")
    transfer(url, partial, hint=HINT, most_bytes=2 * listed.bytes + SLACK_BYTES)
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
    text = b""
    with web.open_url(url, hint=HINT) as answer:
        while piece := web.read_piece(answer, url, HINT):
            text += piece
            if len(text) > MOST_RELEASE_BYTES:
                raise web.WebError(f"{url} has more than {MOST_RELEASE_BYTES:,} bytes", HINT)
    return text.decode(errors="replace")


def _unpacked(path: Path, ending: str) -> Iterator[bytes]:
    """The bytes of an index, piece by piece. Raises LZMAError if it asks for too much memory."""
    if ending != ".xz":
        opener: Any = {".gz": gzip.open, "": open}[ending]
        with opener(path, "rb") as source:
            yield from iter(lambda: source.read(CHUNK_BYTES), b"")
        return
    # Not lzma.open: it has no limit of memory, and a file may ask for a dictionary of 4 GB.
    unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, XZ_MEMORY_BYTES)
    with path.open("rb") as source:
        while not unpacker.eof:
            piece = source.read(CHUNK_BYTES) if unpacker.needs_input else b""
            if unpacker.needs_input and not piece:
                raise EOFError("it is truncated")
            yield unpacker.decompress(piece, CHUNK_BYTES)
