"""The registry: the public benchmarks that `download` knows by name, read from datasets.toml.

Facts that hold for every copy of a dataset are keys of the dataset. Facts that depend on the archive (layout,
encoding, version) are keys of each mirror. Several versions of a dataset may have the same name, so the
counts of a mirror are verified only if its version is known: because the mirror states it, or because there
is only one version.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from xmcpipe.config import from_table, nearest, require_at_least
from xmcpipe.data.layouts import find_layout
from xmcpipe.errors import XmcpipeError

FILE = Path(__file__).parent / "datasets.toml"
# Kind of mirror -> what its addresses look like.
ADDRESSES = {"https": r"https?://\S+", "gdrive": r"[\w-]{10,}", "dropbox": r"\w+/\w+\?rlkey=\w+"}
TITLE = ("title",)


@dataclass(frozen=True)
class Counts:
    """A version of a dataset: its numbers of documents and labels, and the source of these numbers.

    A number of documents is 0 if the source doesn't state it: it is then not verified.
    """

    name: str
    train: int
    test: int
    labels: int
    source: str = "the SPARTEX paper, Table 1"

    def __post_init__(self) -> None:
        """Raise ValueError for a negative count, and for no labels."""
        require_at_least(self, 1, "labels")
        require_at_least(self, 0, "train", "test")

    def agrees(self, documents: Mapping[str, int]) -> bool:
        """Whether these are the numbers of documents, by split, as far as they are stated."""
        stated = {"train": self.train, "test": self.test}
        return all(count in (0, documents[split]) for split, count in stated.items())

    def __str__(self) -> str:
        train, test = (f"{count:,}" if count else "?" for count in (self.train, self.test))
        return f"{train} + {test} documents, {self.labels:,} labels"


@dataclass(frozen=True)
class Propensity:
    """The constants A and B of the propensity model, and a source that uses them."""

    a: float
    b: float
    source: str


@dataclass(frozen=True)
class Mirror:
    """A place to download the archive from."""

    kind: Literal["https", "gdrive", "dropbox"]
    """How the address is turned into a URL (see data.fetch)."""

    address: str
    """A URL (https), a file's id (gdrive), or `ID/h?rlkey=KEY` of a shared folder (dropbox)."""

    layout: str
    """The name of the layout of the files inside (see data.layouts.catalog)."""

    encoding: str = "utf-8"
    """The encoding of the texts."""

    version: str | None = None
    """The name of the version (see Counts) that this archive must hold, if it is known."""

    bytes: int = 0
    """The approximate size of the archive: it is displayed, and a file of far more bytes is refused."""

    sha256: str | None = None
    """The sha256 of the archive, if it is known."""

    def __post_init__(self) -> None:
        """Raise ValueError for an address of another kind, an unknown layout or an invalid hash."""
        if not re.fullmatch(ADDRESSES[self.kind], self.address):
            raise ValueError(f"expected an address of kind {self.kind}, got {self.address!r}")
        try:
            find_layout(self.layout)
        except XmcpipeError as error:
            raise ValueError(str(error)) from error
        if self.sha256 is not None and not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ValueError(f"expected sha256 as 64 lower-case hex digits, got {self.sha256!r}")
        require_at_least(self, 0, "bytes")


@dataclass(frozen=True)
class Dataset:
    """One dataset of the registry."""

    name: str
    """The name in commands, and the name of its recipe."""

    title: str
    """The name in papers."""

    versions: tuple[Counts, ...]
    """The versions in circulation, with their counts."""

    mirrors: tuple[Mirror, ...]
    """Where to download it, in the order in which the mirrors are tried."""

    propensity: tuple[Propensity, ...]
    """The constants A and B in use; if there are several, those of the SPARTEX paper come first."""

    text_fields: tuple[str, ...]
    """The fields that make up a text, in layouts with fields: of documents and of labels."""

    labels_per_document: float
    """The published mean number of labels of a document; 0 if none is published."""

    page: str
    """The web page that describes the dataset."""

    licence: str
    """The terms of use, if the source states any."""

    citation: str
    """The publication to cite."""

    filter_files: tuple[str, ...] = ()
    """The files of filter pairs, in the layouts that have them."""

    folders: tuple[str, ...] = ()
    """Further pages for a manual download."""

    def __post_init__(self) -> None:
        """Raise ValueError for missing or repeated entries, and for a mirror with an unknown version."""
        for part in ("versions", "mirrors", "propensity", "text_fields"):
            if not getattr(self, part):
                raise ValueError(f"expected one or more {part}, got none")
        names = [version.name for version in self.versions]
        if len(set(names)) < len(names):
            raise ValueError(f"expected versions with distinct names, got {names}")
        for mirror in self.mirrors:
            if mirror.version is not None and mirror.version not in names:
                raise ValueError(
                    f"expected one of the versions {', '.join(names)} in a mirror, got {mirror.version!r}"
                )
        addresses = [(mirror.kind, mirror.address) for mirror in self.mirrors]
        if len(set(addresses)) < len(addresses):
            raise ValueError("the same mirror is listed twice")

    def counts_of(self, mirror: Mirror) -> Counts | None:
        """The counts that the archive of a mirror must have; None if its version is unknown."""
        if mirror.version is None:
            return self.versions[0] if len(self.versions) == 1 else None
        return next(version for version in self.versions if version.name == mirror.version)

    def with_fields(self) -> "Dataset":
        """The dataset without the mirrors whose documents have no fields.

        Raises XmcpipeError if no mirror is left.
        """
        mirrors = tuple(mirror for mirror in self.mirrors if find_layout(mirror.layout).has_fields)
        if not mirrors:
            raise XmcpipeError(
                f"{self.title}: expected a mirror with titles separate from texts, got none",
                "remove download.titles_only, or name an archive of raw JSON with --from PATH",
            )
        return replace(self, mirrors=mirrors)


def datasets() -> dict[str, Dataset]:
    """The registered datasets by name, in the order of the file."""
    return _load(FILE)


def find(name: str) -> Dataset:
    """The dataset called `name`. Raises XmcpipeError, with the nearest name, if there is none."""
    known = datasets()
    if name not in known:
        raise XmcpipeError(f"unknown dataset {name!r}", nearest(name, known))
    return known[name]


def load(path: Path) -> dict[str, Dataset]:
    """The datasets of a registry file by name. Raises XmcpipeError for any error in it."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise XmcpipeError(f"the registry {path} can't be read: {error}", "correct the file") from error
    return {name: _dataset(path, name, facts) for name, facts in table.items()}


def _dataset(path: Path, name: str, facts: Any) -> Dataset:
    if not isinstance(facts, dict):
        raise XmcpipeError(f"{path}: expected a table {name}, got {facts!r}", f"write [{name}]")
    try:
        return from_table(Dataset, {"name": name, **facts}, name)
    except XmcpipeError as error:
        raise XmcpipeError(f"{path}: {error.message}", error.hint) from error


_load = cache(load)  # the program's own registry is read once; `load` itself reads a file each time
