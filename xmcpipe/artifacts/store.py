"""The store of artifacts. An artifact is written to a temporary folder, synced, and renamed in one step.

STORE/KIND/FINGERPRINT16/              a finished artifact, its manifest.json written last
STORE/.building/NAME.OWNER/            an artifact being written; if its process is killed, `gc` removes it
STORE/.scratch/NAME[.OWNER]/           files that survive a killed attempt (checkpoints, partial downloads)
STORE/.scratch/NAME.lock               held by the process that makes NAME
STORE/.verified/                       which large files were seen whole: see `artifacts.verified`

OWNER names a process: see `artifacts.owner`. Whoever reads an artifact holds its manifest for reading.
"""

import dataclasses
import errno
import logging
import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from xmcpipe.artifacts.fingerprint import fingerprint, sha256_of_file
from xmcpipe.artifacts.lock import exclusive, is_held, reading, unread
from xmcpipe.artifacts.manifest import FILE_NAME, Manifest, Output
from xmcpipe.artifacts.owner import owned, owner_of
from xmcpipe.artifacts.scratch import TRASH, Attempt, attempts, discard, forget, is_at_work, is_left, owning
from xmcpipe.artifacts.synced import sync, sync_tree
from xmcpipe.errors import XmcpipeError
from xmcpipe.signals import held

logger = logging.getLogger(__name__)

BUILDING, SCRATCH = ".building", ".scratch"


@dataclass(frozen=True)
class Artifact:
    """A finished artifact: its folder and its manifest."""

    path: Path
    manifest: Manifest

    @property
    def bytes(self) -> int:
        """Total size of the outputs in bytes, without the manifest."""
        return sum(output.bytes for output in self.manifest.outputs.values())

    @staticmethod
    def at(path: Path) -> "Artifact":
        """The artifact in the folder `path`. Raises XmcpipeError if there is none."""
        return Artifact(path, Manifest.read(path))

    def faults(self) -> list[str]:
        """One line for each file that is missing, changed or unknown to the manifest. Reads every byte."""
        lines = []
        identity = self.manifest
        if identity.fingerprint != fingerprint(
            identity.stage, identity.schema_version, identity.config, identity.inputs
        ):
            lines.append(f"{FILE_NAME} was changed: its fingerprint does not match its config and inputs")
        for name, output in self.manifest.outputs.items():
            path = self.path / name
            if not path.is_file():
                lines.append(f"{name} is missing")
            elif path.stat().st_size != output.bytes or sha256_of_file(path) != output.sha256:
                lines.append(f"{name} was changed: its size or sha256 differs from the manifest")
        known = {*self.manifest.outputs, FILE_NAME}
        lines += [f"{name} isn't in the manifest" for name in _files_below(self.path) if name not in known]
        return lines


class Store:
    """Finds, writes, lists and cleans artifacts below one root folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def place(self, kind: str, fingerprint: str) -> Path:
        """The folder of the artifact of this kind and fingerprint (64 hex digits); it may not exist."""
        return self.root / kind / fingerprint[:16]

    def find(self, kind: str, fingerprint: str) -> Artifact | None:
        """The finished artifact of this kind and fingerprint, or None if there is none."""
        artifact = _readable(self.place(kind, fingerprint))
        if artifact is not None and artifact.manifest.fingerprint != fingerprint:
            logger.warning("artifact ignored: %s: its manifest is that of another artifact", artifact.path)
            return None
        return artifact

    def broken(self, kind: str, fingerprint: str | None) -> list[str]:
        """One line for each folder of this kind that has no readable manifest: it is no artifact any more.

        With a fingerprint, only the folder of this artifact counts.
        """
        places = (
            sorted(self.root.glob(f"{kind}/*/")) if fingerprint is None else [self.place(kind, fingerprint)]
        )
        return [f"{place}: {fault}" for place in places if (fault := _manifest_fault(place, fingerprint))]

    def all(self, kind: str = "[!.]*") -> Iterator[Artifact]:
        """Yield all finished artifacts, or those of one kind, ordered by kind and fingerprint."""
        for manifest in sorted(self.root.glob(f"{kind}/*/{FILE_NAME}")):
            if artifact := _readable(manifest.parent):
                yield artifact

    @contextmanager
    def exclusive(self, kind: str, fingerprint: str) -> Iterator[Path]:
        """Be the only process that makes this artifact during the block; wait for any other first.

        The block gets the folder for files that survive a killed attempt, with those of the last one.
        """
        lock, what = self._lock(kind, fingerprint), f"{kind} {fingerprint[:16]}"
        _make_folder(lock.parent)
        with exclusive(lock, what), owning(lock.parent, lock.stem, what) as scratch:
            yield scratch

    def clear(self, kind: str, fingerprint: str) -> None:
        """Remove what a process left that was killed after it had made this artifact."""
        found, lock = self.attempt(kind, fingerprint), self._lock(kind, fingerprint)
        if (found is None and not lock.exists()) or (found and found.running) or is_held(lock):
            return
        with suppress(OSError), self.exclusive(kind, fingerprint) as scratch:  # a store may be read-only
            forget(scratch)

    def building(self, kind: str) -> Path:
        """A new empty folder to write an artifact in.

        It is in the store, so it is on the same file system as the final place, and can be renamed to it.
        Those that killed processes of this machine left are removed.
        """
        for left in self.root.glob(f"{BUILDING}/{kind}.*/"):
            if is_left(left, math.inf):
                discard(left)
        path = self._unique(kind)
        _make_folder(path)
        return path

    def seal(self, building: Path, manifest: Manifest, rows: Mapping[str, int]) -> Manifest:
        """Hash the files in `building`, write the manifest with `outputs` filled in, and sync everything.

        `rows` has the number of rows of files that are tables.
        """
        outputs = {
            name: Output((building / name).stat().st_size, sha256_of_file(building / name), rows.get(name))
            for name in _files_below(building)
        }
        manifest = dataclasses.replace(manifest, outputs=outputs)
        manifest.write(building)  # last: a folder with a manifest is complete
        # Everything is on disk before the rename, so that a power cut leaves no damaged artifact.
        sync_tree(building)
        return manifest

    def publish(self, building: Path, manifest: Manifest, replace: bool) -> Artifact:
        """Rename a sealed folder to its final place in one step.

        If another run has already published the same artifact, that artifact is returned, unless `replace` is
        set. A signal takes effect afterwards.
        """
        place = self.place(manifest.kind, manifest.fingerprint)
        place.parent.mkdir(parents=True, exist_ok=True)
        with held():
            # A folder without a readable manifest is not an artifact, and must not block the rename.
            trash = self._set_aside(place) if replace or _readable(place) is None else None
            try:
                building.rename(place)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                shutil.rmtree(building)  # another run published the same artifact first
            sync(place.parent)
            if trash:
                shutil.rmtree(trash)
        return Artifact.at(place)

    @contextmanager
    def reading(self, artifact: Artifact) -> Iterator[None]:
        """Keep an artifact from being removed during the block. Raises XmcpipeError if it was removed."""
        try:
            with reading(artifact.path / FILE_NAME):
                yield
        except FileNotFoundError as error:
            if (artifact.path / FILE_NAME).exists():
                raise
            raise XmcpipeError(f"{artifact.path} was removed while it was used", "run it again") from error

    def in_use(self, artifact: Artifact) -> bool:
        """Whether a process reads an artifact, or may read it where that can't be known."""
        with unread(artifact.path / FILE_NAME) as free:
            return self._may_be_read(free)

    def remove(self, artifact: Artifact) -> bool:
        """Delete an artifact, unless it is in use; returns whether it is deleted.

        It is renamed first, so that no process sees a partly deleted one.
        """
        with unread(artifact.path / FILE_NAME) as free:
            if self._may_be_read(free):
                return False
            trash = self._set_aside(artifact.path)
        if trash:
            shutil.rmtree(trash)
        return True

    def _may_be_read(self, free: bool | None) -> bool:
        if free is False:
            return True
        # Locks may not be shown to other machines, and without any lock everybody may be reading.
        working = [
            owner
            for path in (*self.root.glob(f"{BUILDING}/*/"), *self.root.glob(f"{SCRATCH}/*/"))
            if (owner := owner_of(path)) and is_at_work(path)
        ]
        return any(free is None or not owner.is_here for owner in working)

    def leftovers(self, older_than_seconds: float) -> list[Path]:
        """Folders that killed stages left: building folders without a process, and scratch folders.

        Scratch folders count only if nothing in them was written during the last `older_than_seconds`, and
        folders of other machines, whose processes can't be checked, if they were not touched for so long.
        """
        unfinished = (*self.root.glob(f"{BUILDING}/*/"), *self.root.glob(f"{SCRATCH}/{TRASH}.*/"))
        ended = [path for path in sorted(unfinished) if is_left(path, older_than_seconds)]
        scratch = [
            attempt.scratch
            for attempt in self.attempts()
            if not attempt.running and attempt.idle_seconds > older_than_seconds
        ]
        return ended + scratch

    def attempts(self) -> list[Attempt]:
        """All unfinished attempts that have a scratch folder."""
        return attempts(self.root / SCRATCH)

    def attempt(self, kind: str, fingerprint: str) -> Attempt | None:
        """The unfinished attempt to make this artifact; None if it has no scratch folder."""
        return next(iter(attempts(self.root / SCRATCH, f"{kind}-{fingerprint[:16]}")), None)

    def _lock(self, kind: str, fingerprint: str) -> Path:
        return self.root / SCRATCH / f"{kind}-{fingerprint[:16]}.lock"

    def _unique(self, name: str) -> Path:
        return self.root / BUILDING / owned(name)

    def _set_aside(self, path: Path) -> Path | None:
        """Rename `path` to a temporary path and return that; None if `path` doesn't exist (any more)."""
        trash = self._unique(TRASH)
        trash.parent.mkdir(parents=True, exist_ok=True)
        try:
            return path.rename(trash)
        except FileNotFoundError:
            return None


def _manifest_fault(place: Path, fingerprint: str | None) -> str | None:
    """The fault of the manifest in the folder `place`; None if it can be read, or there is no folder."""
    if not place.is_dir():
        return None
    if not (place / FILE_NAME).is_file():
        return f"{FILE_NAME} is missing"
    try:
        manifest = Manifest.read(place)
    except XmcpipeError:
        return f"{FILE_NAME} was changed: it can't be read, or its checksum does not match"
    if fingerprint not in (None, manifest.fingerprint):
        return f"{FILE_NAME} is that of another artifact"
    return None


def _readable(path: Path) -> Artifact | None:
    """The artifact at `path`; None if there is none or, with a warning, if its manifest can't be read."""
    if not (path / FILE_NAME).is_file():
        return None
    try:
        return Artifact.at(path)
    except XmcpipeError as error:
        logger.warning("artifact ignored: %s", error)
        return None


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise XmcpipeError(
            f"can't write to the store: {error}", "name another folder with --store DIR or XMCPIPE_STORE"
        ) from error


def _files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
