"""The store of artifacts. An artifact is written to a temporary folder, synced, and renamed in one step.

STORE/KIND/FINGERPRINT16/              a finished artifact, its manifest.json written last
STORE/.building/NAME.HOST.PID.RANDOM/  an artifact being written; if its process is killed, `gc` removes it
STORE/.scratch/NAME/                   files that survive a killed attempt (checkpoints, partial downloads)
STORE/.scratch/NAME.lock               held by the process that makes NAME
STORE/.verified/                       which large files were seen whole: see `artifacts.verified`
"""

import dataclasses
import errno
import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from xmcpipe.artifacts.fingerprint import fingerprint, sha256_of_file
from xmcpipe.artifacts.lock import exclusive, is_held
from xmcpipe.artifacts.manifest import FILE_NAME, Manifest, Output
from xmcpipe.artifacts.synced import sync
from xmcpipe.errors import XmcpipeError

logger = logging.getLogger(__name__)

BUILDING, SCRATCH = ".building", ".scratch"
HOST = os.uname().nodename.replace(".", "-") or "localhost"


@dataclass(frozen=True)
class Attempt:
    """An unfinished attempt to make an artifact.

    `scratch` is the folder of what it can be resumed from, `running` says whether a process is at work on it,
    and `idle_seconds` is the time since the last write.
    """

    scratch: Path
    running: bool
    idle_seconds: float


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

    def scratch(self, kind: str, fingerprint: str) -> Path:
        """A folder for files that survive a killed attempt; `forget` removes it once the artifact exists."""
        path = self._scratch(kind, fingerprint)
        _make_folder(path)
        return path

    def forget(self, kind: str, fingerprint: str) -> None:
        """Remove the scratch folder of this artifact, so that the next attempt starts from the beginning."""
        shutil.rmtree(self._scratch(kind, fingerprint), ignore_errors=True)

    def forget_empty(self, kind: str, fingerprint: str) -> None:
        """Remove the scratch folder of this artifact if it is empty."""
        scratch = self._scratch(kind, fingerprint)
        if scratch.is_dir() and not any(scratch.iterdir()):
            scratch.rmdir()

    @contextmanager
    def exclusive(self, kind: str, fingerprint: str) -> Iterator[None]:
        """Be the only process that makes this artifact during the block; wait for any other first."""
        scratch = self._scratch(kind, fingerprint)
        _make_folder(scratch.parent)
        with exclusive(scratch.with_name(f"{scratch.name}.lock"), f"{kind} {fingerprint[:16]}"):
            yield

    def building(self, kind: str) -> Path:
        """A new empty folder to write an artifact in.

        It is in the store, so it is on the same file system as the final place, and can be renamed to it.
        """
        path = self._unique(kind)
        _make_folder(path)
        return path

    def publish(self, building: Path, manifest: Manifest, rows: Mapping[str, int], replace: bool) -> Artifact:
        """Hash and sync the files in `building`, then rename the folder to its final place in one step.

        This fills in `manifest.outputs`; `rows` has the number of rows of files that are tables. If another
        run has already published the same artifact, that artifact is returned, unless `replace` is set.
        """
        outputs = {
            name: Output((building / name).stat().st_size, sha256_of_file(building / name), rows.get(name))
            for name in _files_below(building)
        }
        manifest = dataclasses.replace(manifest, outputs=outputs)
        manifest.write(building)  # last: a folder with a manifest is complete
        # Everything is on disk before the rename, so that a power cut leaves no damaged artifact.
        _sync_tree(building)
        place = self.place(manifest.kind, manifest.fingerprint)
        place.parent.mkdir(parents=True, exist_ok=True)
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

    def remove(self, artifact: Artifact) -> None:
        """Delete an artifact. It is renamed first, so that no process sees a partly deleted one."""
        if trash := self._set_aside(artifact.path):
            shutil.rmtree(trash)

    def leftovers(self, older_than_seconds: float) -> list[Path]:
        """Folders that killed stages left: building folders without a process, and unlocked scratch folders.

        Scratch folders, and building folders of other hosts (whose processes can't be checked), count only if
        nothing in them was written during the last `older_than_seconds`.
        """
        building = [
            path
            for path in sorted(self.root.glob(f"{BUILDING}/*"))
            if (not _alive(path) if _is_ours(path) else _age(path) > older_than_seconds)
        ]
        scratch = [
            attempt.scratch
            for attempt in self.attempts()
            if not attempt.running and attempt.idle_seconds > older_than_seconds
        ]
        return building + scratch

    def attempts(self) -> list[Attempt]:
        """All unfinished attempts that have a scratch folder."""
        return [_attempt(path) for path in sorted(self.root.glob(f"{SCRATCH}/*/"))]

    def attempt(self, kind: str, fingerprint: str) -> Attempt | None:
        """The unfinished attempt to make this artifact; None if it has no scratch folder."""
        path = self._scratch(kind, fingerprint)
        return _attempt(path) if path.is_dir() else None

    def _scratch(self, kind: str, fingerprint: str) -> Path:
        return self.root / SCRATCH / f"{kind}-{fingerprint[:16]}"

    def _unique(self, name: str) -> Path:
        return self.root / BUILDING / f"{name}.{HOST}.{os.getpid()}.{uuid.uuid4().hex[:8]}"

    def _set_aside(self, path: Path) -> Path | None:
        """Rename `path` to a temporary path and return that; None if `path` doesn't exist (any more)."""
        trash = self._unique("trash")
        trash.parent.mkdir(parents=True, exist_ok=True)
        try:
            return path.rename(trash)
        except FileNotFoundError:
            return None


def _attempt(scratch: Path) -> Attempt:
    return Attempt(scratch, is_held(scratch.with_name(f"{scratch.name}.lock")), _age(scratch))


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


def _is_ours(building: Path) -> bool:
    """Whether a process of this host made `building`: only then can its process id be checked."""
    parts = building.name.split(".")
    return len(parts) == 4 and parts[1] == HOST and parts[2].isdigit()


def _alive(building: Path) -> bool:
    """Whether the process that made `building` still runs."""
    try:
        os.kill(int(building.name.split(".")[2]), 0)  # signal 0 only checks whether the process exists
    except ProcessLookupError:
        return False
    except PermissionError:  # it exists, but belongs to another user
        return True
    return True


def _age(folder: Path) -> float:
    """Seconds since the last write in `folder` or below it."""
    times = [folder.stat().st_mtime]
    for path in folder.rglob("*"):
        # A process may be at work in the folder, and remove files.
        with suppress(FileNotFoundError):
            times.append(path.stat().st_mtime)
    return time.time() - max(times)


def _sync_tree(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        sync(path)
