"""The folder of artifacts: each written beside its place, synced, and renamed there in one step.

STORE/KIND/FINGERPRINT16/              a finished artifact, its manifest.json written last
STORE/.building/NAME.HOST.PID.RANDOM/  one being written; a killed stage leaves only this, and `gc` removes it
STORE/.scratch/NAME/                   what a stage keeps between attempts (checkpoints, partial downloads)
STORE/.scratch/NAME.lock               held by the process that makes NAME
"""

import dataclasses
import errno
import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from xmcpipe.artifacts.fingerprint import fingerprint, sha256_of_file
from xmcpipe.artifacts.lock import exclusive, is_held
from xmcpipe.artifacts.manifest import FILE_NAME, Manifest, Output
from xmcpipe.errors import XmcpipeError

logger = logging.getLogger(__name__)

BUILDING, SCRATCH = ".building", ".scratch"
_HOST = os.uname().nodename.replace(".", "-") or "localhost"


@dataclass(frozen=True)
class Artifact:
    """A finished artifact: its folder and its manifest."""

    path: Path
    manifest: Manifest

    @property
    def bytes(self) -> int:
        """Size of all outputs."""
        return sum(output.bytes for output in self.manifest.outputs.values())

    @staticmethod
    def at(path: Path) -> "Artifact":
        """The artifact in the folder `path`. Raises XmcpipeError where there is none."""
        return Artifact(path, Manifest.read(path))

    def faults(self) -> list[str]:
        """One line for each output that is missing, changed or not in the manifest: it reads every byte."""
        lines = []
        made_of = self.manifest
        if made_of.fingerprint != fingerprint(
            made_of.stage, made_of.schema_version, made_of.config, made_of.inputs
        ):
            lines.append(f"{FILE_NAME} was changed: its fingerprint isn't that of its config and inputs")
        for name, output in self.manifest.outputs.items():
            path = self.path / name
            if not path.is_file():
                lines.append(f"{name} is missing")
            elif path.stat().st_size != output.bytes or sha256_of_file(path) != output.sha256:
                lines.append(f"{name} isn't what was written: its sha256 differs from the manifest's")
        known = {*self.manifest.outputs, FILE_NAME}
        lines += [f"{name} isn't in the manifest" for name in _files_below(self.path) if name not in known]
        return lines


class Store:
    """Finds, writes, lists and cleans artifacts below one root folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def place(self, kind: str, fingerprint: str) -> Path:
        """Where the artifact of this kind and fingerprint (64 hex digits) is or would be."""
        return self.root / kind / fingerprint[:16]

    def find(self, kind: str, fingerprint: str) -> Artifact | None:
        """The finished artifact, or None."""
        return _readable(self.place(kind, fingerprint))

    def all(self, kind: str = "[!.]*") -> Iterator[Artifact]:
        """Every finished artifact (of one kind), by kind and fingerprint."""
        for manifest in sorted(self.root.glob(f"{kind}/*/{FILE_NAME}")):
            if artifact := _readable(manifest.parent):
                yield artifact

    def scratch(self, kind: str, fingerprint: str) -> Path:
        """A folder that outlives a killed attempt at this artifact; whoever publishes it calls `forget`."""
        path = self._scratch(kind, fingerprint)
        _make_folder(path)
        return path

    def forget(self, kind: str, fingerprint: str) -> None:
        """Remove what attempts at this artifact kept, so that the next one starts afresh."""
        shutil.rmtree(self._scratch(kind, fingerprint), ignore_errors=True)

    def forget_empty(self, kind: str, fingerprint: str) -> None:
        """Remove the scratch folder of an attempt that kept nothing in it."""
        scratch = self._scratch(kind, fingerprint)
        if scratch.is_dir() and not any(scratch.iterdir()):
            scratch.rmdir()

    @contextmanager
    def exclusive(self, kind: str, fingerprint: str) -> Iterator[None]:
        """Be the only process that makes this artifact; another that does is waited for."""
        scratch = self._scratch(kind, fingerprint)
        _make_folder(scratch.parent)
        with exclusive(scratch.with_name(f"{scratch.name}.lock"), f"{kind} {fingerprint[:16]}"):
            yield

    def building(self, kind: str) -> Path:
        """A new empty folder to write an artifact in, on the same file system as its place."""
        path = self._unique(kind)
        _make_folder(path)
        return path

    def publish(self, building: Path, manifest: Manifest, rows: Mapping[str, int], replace: bool) -> Artifact:
        """Hash, sync and rename `building` into its place in one step; `manifest.outputs` is filled in here.

        Where another run got there first, its artifact is kept and returned, unless `replace`.
        """
        outputs = {
            name: Output((building / name).stat().st_size, sha256_of_file(building / name), rows.get(name))
            for name in _files_below(building)
        }
        manifest = dataclasses.replace(manifest, outputs=outputs)
        manifest.write(building)
        _sync_tree(building)
        place = self.place(manifest.kind, manifest.fingerprint)
        place.parent.mkdir(parents=True, exist_ok=True)
        # A folder without a manifest is no artifact: whatever took it apart, it mustn't stand in the way.
        trash = self._set_aside(place) if replace or _readable(place) is None else None
        try:
            building.rename(place)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            shutil.rmtree(building)
        _sync(place.parent)
        if trash:
            shutil.rmtree(trash)
        return Artifact.at(place)

    def remove(self, artifact: Artifact) -> None:
        """Delete an artifact: out of its place in one step first, so that none is ever seen half-deleted."""
        if trash := self._set_aside(artifact.path):
            shutil.rmtree(trash)

    def leftovers(self, older_than_seconds: float) -> list[Path]:
        """What killed stages left: building folders whose process is gone, and scratch that nobody holds.

        Scratch, and another host's building folders, count once untouched for `older_than_seconds`.
        """
        building = [
            path
            for path in sorted(self.root.glob(f"{BUILDING}/*"))
            if (not _alive(path) if _is_ours(path) else _age(path) > older_than_seconds)
        ]
        scratch = [
            path
            for path in sorted(self.root.glob(f"{SCRATCH}/*/"))
            if not is_held(path.with_name(f"{path.name}.lock")) and _age(path) > older_than_seconds
        ]
        return building + scratch

    def _scratch(self, kind: str, fingerprint: str) -> Path:
        return self.root / SCRATCH / f"{kind}-{fingerprint[:16]}"

    def _unique(self, name: str) -> Path:
        return self.root / BUILDING / f"{name}.{_HOST}.{os.getpid()}.{uuid.uuid4().hex[:8]}"

    def _set_aside(self, path: Path) -> Path | None:
        """Rename `path` out of its place; None where it isn't there (any more)."""
        trash = self._unique("trash")
        trash.parent.mkdir(parents=True, exist_ok=True)
        try:
            return path.rename(trash)
        except FileNotFoundError:
            return None


def _readable(path: Path) -> Artifact | None:
    """The artifact at `path`; None where there is none, or (with a warning) its manifest is broken."""
    if not (path / FILE_NAME).is_file():
        return None
    try:
        return Artifact.at(path)
    except XmcpipeError as error:
        logger.warning("passed over: %s", error)
        return None


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise XmcpipeError(
            f"the store can't be written: {error}", "name another folder with --store DIR or XMCPIPE_STORE"
        ) from error


def _files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _is_ours(building: Path) -> bool:
    """Whether a process of this host made `building`, by its name: only then does its number say anything."""
    parts = building.name.split(".")
    return len(parts) == 4 and parts[1] == _HOST and parts[2].isdigit()


def _alive(building: Path) -> bool:
    try:
        os.kill(int(building.name.split(".")[2]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _age(folder: Path) -> float:
    """Seconds since anything in `folder` was last written."""
    return time.time() - max(path.stat().st_mtime for path in [folder, *folder.rglob("*")])


def _sync_tree(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
