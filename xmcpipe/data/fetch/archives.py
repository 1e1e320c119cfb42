"""The cache of archives: the archive of each mirror of a registered dataset is downloaded once per machine.

CACHE/archives/SET/NAME.archive      a valid archive: downloaded, unpacked, read and counted without an error
CACHE/archives/SET/NAME.sha256.json  the hash of the first valid archive; any later download must match it
CACHE/archives/SET/NAME.part[.json]  an archive that is incomplete or not yet validated (see transfer.py)

A file is renamed to NAME.archive only after validation. The record of its hash stays when it is removed.
"""

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from xmcpipe import cache
from xmcpipe.artifacts.fingerprint import sha256_of_file
from xmcpipe.artifacts.lock import exclusive, is_held
from xmcpipe.data.fetch import dropbox, gdrive, https
from xmcpipe.data.fetch.transfer import MOST_BYTES, refuse_web_page, remove_partial, transfer
from xmcpipe.data.registry import Dataset, Mirror
from xmcpipe.errors import XmcpipeError
from xmcpipe.json_file import parse_json

logger = logging.getLogger(__name__)

# Kind of mirror -> the module that knows it.
KINDS: dict[str, Any] = {"https": https, "gdrive": gdrive, "dropbox": dropbox}
CACHE_NAME = re.compile(r"(https|gdrive|dropbox)-[0-9a-f]{12}\.(archive|part)")
SLACK_BYTES = 1 << 26
MAGIC = (b"\x1f\x8b", b"PK\x03\x04")  # the first bytes of gzip and zip files


def folder_of(dataset: Dataset) -> Path:
    """The folder in the cache for the archives of a dataset; it may not exist yet."""
    return cache.folder("archives") / dataset.name


def cached_archives() -> list[Path]:
    """All archives in the cache, complete or not, without those of datasets that are being downloaded."""
    folder = cache.folder("archives")
    found = [path for path in sorted(folder.glob("*/*")) if CACHE_NAME.fullmatch(path.name)]
    return [path for path in found if not is_held(_lock(path.parent))]


def remove(archive: Path) -> None:
    """Remove an archive from the cache. The record of its hash stays: a later download must match it."""
    with exclusive(_lock(archive.parent), f"the download of {archive.parent.name}"):
        remove_partial(archive)


@contextmanager
def download_lock(dataset: Dataset) -> Iterator[Path]:
    """Lock the cache folder of a dataset during the block, and return it: no other process writes to it."""
    folder = folder_of(dataset)
    with exclusive(_lock(folder), f"the download of {dataset.title}"):
        yield folder


def _lock(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


@dataclass(frozen=True)
class CachedArchive:
    """The archive of one mirror in the cache, whether it exists or not."""

    folder: Path
    mirror: Mirror

    @property
    def archive(self) -> Path:
        """The path of a valid archive."""
        return self.folder / f"{self._name}.archive"

    @property
    def part(self) -> Path:
        """The path of an archive that is incomplete or not validated yet."""
        return self.folder / f"{self._name}.part"

    @property
    def record(self) -> Path:
        """The path of the record of the archive's hash."""
        return self.folder / f"{self._name}.sha256.json"

    @property
    def _most_bytes(self) -> int:
        """The most bytes that the archive may have: the registry's number is only approximate."""
        return 2 * self.mirror.bytes + SLACK_BYTES if self.mirror.bytes else MOST_BYTES

    @property
    def _name(self) -> str:
        # A hash, because an address is not a valid file name.
        return f"{self.mirror.kind}-{sha256(self.mirror.address.encode()).hexdigest()[:12]}"

    def expected(self) -> str | None:
        """The sha256 that the archive must have: from the registry, else from the record, else None."""
        if self.mirror.sha256:
            return self.mirror.sha256
        try:
            recorded = parse_json(self.record.read_text(encoding="utf-8"))["sha256"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise XmcpipeError(f"{self.record} can't be read: {error}", "delete it") from error
        return str(recorded)

    def fetch(self) -> tuple[Path, str]:
        """The path of the archive and its sha256: from the cache, or downloaded and not yet validated.

        Raises XmcpipeError if it can't be downloaded, is not an archive, or doesn't have the expected hash.
        """
        expected = self.expected()
        if self.archive.is_file():
            actual = sha256_of_file(self.archive)
            if actual == expected:
                return self.archive, actual
            logger.warning("%s has changed since its download: downloading it again", self.archive)
            self.archive.unlink()
        kind = KINDS[self.mirror.kind]
        transfer(
            self.mirror.address, self.part, _looks_like_an_archive, kind.locate, most_bytes=self._most_bytes
        )
        actual = sha256_of_file(self.part)
        if expected not in (None, actual):
            self.discard()
            raise XmcpipeError(
                f"expected sha256 {str(expected)[:12]}…, got {actual[:12]}…",
                "the registry states it"
                if self.mirror.sha256
                else f"to accept the new file, delete {self.record}",
            )
        return self.part, actual

    def accept(self, dataset: Dataset, sha256: str) -> None:
        """Record the hash of a valid archive, and rename it to its final name."""
        if not self.part.is_file():  # it came from the cache, where it was accepted before
            return
        facts = {
            "dataset": dataset.name,
            "kind": self.mirror.kind,
            "address": self.mirror.address,
            "bytes": self.part.stat().st_size,
            "sha256": sha256,
        }
        # The record comes first: a kill between the two renames leaves no archive without a record.
        new = self.record.with_suffix(".new")
        new.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        new.replace(self.record)
        self.part.replace(self.archive)
        remove_partial(self.part)  # removes its note: the file itself was renamed

    def discard(self) -> None:
        """Remove an archive that is not valid."""
        remove_partial(self.part)
        self.archive.unlink(missing_ok=True)


def _looks_like_an_archive(start: bytes, content_type: str) -> None:
    """Raise XmcpipeError unless a file starts like gzip or zip: checked before the rest is downloaded."""
    if start.startswith(MAGIC):
        return
    refuse_web_page(start, content_type)
    raise XmcpipeError(f"expected a tar.gz, zip or gz file, got one that begins with {start[:8]!r}")
