"""The archives of the registered sets, kept in the cache so that each is fetched once a machine.

CACHE/archives/SET/NAME.archive      one that was fetched, unpacked, read and counted without fault
CACHE/archives/SET/NAME.sha256.json  its hash, since it was first found good; what comes later must have it
CACHE/archives/SET/NAME.part[.json]  one on its way, or that has come and isn't proved yet (see transfer.py)

Nothing has the name of a good archive before it is one. The record outlives the archive.
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
from xmcpipe.data.fetch.transfer import forget, no_page, transfer
from xmcpipe.data.registry import Dataset, Mirror
from xmcpipe.errors import XmcpipeError

logger = logging.getLogger(__name__)

KINDS: dict[str, Any] = {"https": https, "gdrive": gdrive, "dropbox": dropbox}
OURS = re.compile(r"(https|gdrive|dropbox)-[0-9a-f]{12}\.(archive|part)")
MAGIC = (b"\x1f\x8b", b"PK\x03\x04")


def folder_of(dataset: Dataset) -> Path:
    """Where the archives of a set are kept; it may not exist yet."""
    return cache.folder("archives") / dataset.name


def in_cache() -> list[Path]:
    """The archives in the cache, whole ones and those that aren't, but of sets that are being downloaded."""
    folder = cache.folder("archives")
    found = [path for path in sorted(folder.glob("*/*")) if OURS.fullmatch(path.name)]
    return [path for path in found if not is_held(_lock(path.parent))]


def remove(archive: Path) -> None:
    """Remove one of `in_cache`. The record of its hash stays: what is fetched later must have it."""
    with exclusive(_lock(archive.parent), f"the download of {archive.parent.name}"):
        forget(archive)


@contextmanager
def downloading(dataset: Dataset) -> Iterator[Path]:
    """The folder of a set, which no other process writes to during the block."""
    folder = folder_of(dataset)
    with exclusive(_lock(folder), f"the download of {dataset.title}"):
        yield folder


def _lock(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


@dataclass(frozen=True)
class Kept:
    """The archive of one mirror, there or not."""

    folder: Path
    mirror: Mirror

    @property
    def archive(self) -> Path:
        """Where it is once it is good."""
        return self.folder / f"{self._name}.archive"

    @property
    def part(self) -> Path:
        """Where it is until then."""
        return self.folder / f"{self._name}.part"

    @property
    def record(self) -> Path:
        """Where its hash is."""
        return self.folder / f"{self._name}.sha256.json"

    @property
    def _name(self) -> str:
        # the address as it is would be no file name
        return f"{self.mirror.kind}-{sha256(self.mirror.address.encode()).hexdigest()[:12]}"

    def expected(self) -> str | None:
        """The sha256 that the archive must have: the registry's, else that of the first good one."""
        if self.mirror.sha256:
            return self.mirror.sha256
        try:
            recorded = json.loads(self.record.read_text(encoding="utf-8"))["sha256"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise XmcpipeError(f"{self.record} can't be read: {error}", "remove it") from error
        return str(recorded)

    def fetch(self) -> tuple[Path, str]:
        """The archive and its sha256: the one that is kept, else fetched, and then not proved yet.

        Raises XmcpipeError where it can't be had, is no archive or isn't the one of before.
        """
        expected = self.expected()
        if self.archive.is_file():
            found = sha256_of_file(self.archive)
            if found == expected:
                return self.archive, found
            logger.warning("%s was changed since it was fetched: it is fetched again", self.archive)
            self.archive.unlink()
        kind = KINDS[self.mirror.kind]
        transfer(self.mirror.address, self.part, _looks_like_an_archive, kind.locate)
        found = sha256_of_file(self.part)
        if expected not in (None, found):
            self.discard()
            raise XmcpipeError(
                f"what came has sha256 {found[:12]}…, {str(expected)[:12]}… was wanted",
                "so the registry says" if self.mirror.sha256 else f"to accept it, remove {self.record}",
            )
        return self.part, found

    def accept(self, dataset: Dataset, sha256: str) -> None:
        """The archive was found good: record its hash, and give it its name."""
        if not self.part.is_file():
            return
        facts = {
            "dataset": dataset.name,
            "kind": self.mirror.kind,
            "address": self.mirror.address,
            "bytes": self.part.stat().st_size,
            "sha256": sha256,
        }
        beside = self.record.with_suffix(".new")
        beside.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        beside.replace(self.record)
        self.part.replace(self.archive)
        forget(self.part)  # its note

    def discard(self) -> None:
        """The archive was found bad: remove it."""
        forget(self.part)
        self.archive.unlink(missing_ok=True)


def _looks_like_an_archive(start: bytes, content_type: str) -> None:
    """Refuse what isn't a gzip or zip file, before all of it has come."""
    if start.startswith(MAGIC):
        return
    no_page(start, content_type)
    raise XmcpipeError(f"what came begins with {start[:8]!r}, and is no tar.gz, zip or gz")
