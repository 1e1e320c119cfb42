"""The registry: the public benchmarks that `download` knows by name, from datasets.toml beside this file.

What is true of a set whoever holds it stands with the set; what depends on who packed it (layout, encoding,
which version of the counts) stands with each mirror. Versions of one name differ, so the counts of a mirror
are verified where its version is known, which it is where the set has a single one.
"""

import re
import tomllib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from xmcpipe.config import from_table, nearest, require_at_least
from xmcpipe.errors import XmcpipeError

FILE = Path(__file__).parent / "datasets.toml"
ADDRESSES = {"https": r"https?://\S+", "gdrive": r"[\w-]{10,}", "dropbox": r"\w+/\w+\?rlkey=\w+"}
Layout = Literal["attentionxml", "xtransformer", "pecos", "xc_raw", "x_y"]
FIELDED: Layout = "xc_raw"  # the layout whose documents have fields; in the others each is a line
TITLE = ("title",)


@dataclass(frozen=True)
class Counts:
    """One version of a set: training documents, test documents and labels, and who says so."""

    name: str
    train: int
    test: int
    labels: int
    source: str = "the SPARTEX paper, Table 1"

    def __post_init__(self) -> None:
        """Raise ValueError for counts that can't be."""
        require_at_least(self, 1, "train", "test", "labels")

    def __str__(self) -> str:
        return f"{self.train:,} + {self.test:,} documents, {self.labels:,} labels"


@dataclass(frozen=True)
class Propensity:
    """The constants A and B, and who uses them. Of several, the first are the paper's."""

    a: float
    b: float
    source: str


@dataclass(frozen=True)
class Mirror:
    """One place that has the archive.

    address: a URL (https), a file's id (gdrive), `ID/h?rlkey=KEY` of a shared folder (dropbox).
    layout: how the files inside are laid out. encoding: of its texts. version: which Counts it has, by name.
    bytes: the archive's size, about; only shown. sha256: of the archive, where it is known.
    """

    kind: Literal["https", "gdrive", "dropbox"]
    address: str
    layout: Layout
    encoding: str = "utf-8"
    version: str | None = None
    bytes: int = 0
    sha256: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for an address that isn't of its kind, or a hash that is none."""
        if not re.fullmatch(ADDRESSES[self.kind], self.address):
            raise ValueError(f"address {self.address!r} is none of kind {self.kind}")
        if self.sha256 is not None and not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ValueError(f"sha256 {self.sha256!r} isn't 64 hex digits in lower case")
        require_at_least(self, 0, "bytes")


@dataclass(frozen=True)
class Dataset:
    """A set: `name` is what commands call it, and its recipe, `title` what papers do.

    text_fields: of a document, in the layouts that have fields; they are joined. Where it is the title alone,
    labels are read by their titles too. page, folders: where one finds it by hand. filter_files: the pairs of
    a document and a label that are not to be counted, in the layouts that have them.
    """

    name: str
    title: str
    versions: tuple[Counts, ...]
    mirrors: tuple[Mirror, ...]
    propensity: tuple[Propensity, ...]
    text_fields: tuple[str, ...]
    labels_per_document: float
    page: str
    licence: str
    citation: str
    filter_files: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError where something is missing or a mirror has a version that isn't there."""
        for part in ("versions", "mirrors", "propensity", "text_fields"):
            if not getattr(self, part):
                raise ValueError(f"{part} is empty, one or several were wanted")
        names = [version.name for version in self.versions]
        if len(set(names)) < len(names):
            raise ValueError(f"versions {names} were given, distinct names were wanted")
        for mirror in self.mirrors:
            if mirror.version is not None and mirror.version not in names:
                raise ValueError(f"a mirror has version {mirror.version!r}, the set has {', '.join(names)}")
        addresses = [(mirror.kind, mirror.address) for mirror in self.mirrors]
        if len(set(addresses)) < len(addresses):
            raise ValueError("a mirror stands twice")

    def counts_of(self, mirror: Mirror) -> Counts | None:
        """What the mirror's archive must hold; None where its version isn't known."""
        if mirror.version is None:
            return self.versions[0] if len(self.versions) == 1 else None
        return next(version for version in self.versions if version.name == mirror.version)

    def in_fields(self) -> "Dataset":
        """The set with those of its mirrors whose documents have fields. Raises XmcpipeError for none."""
        mirrors = tuple(mirror for mirror in self.mirrors if mirror.layout == FIELDED)
        if not mirrors:
            raise XmcpipeError(
                f"{self.title}: titles were wanted, and no mirror has them apart from the texts",
                "leave download.titles_only out, or name an archive of raw JSON with --from PATH",
            )
        return replace(self, mirrors=mirrors)


def datasets() -> dict[str, Dataset]:
    """The registered sets by name, in the file's order."""
    return _load(FILE)


def find(name: str) -> Dataset:
    """The set of that name. Raises XmcpipeError, with the nearest name, where there is none."""
    known = datasets()
    if name not in known:
        raise XmcpipeError(f"there is no dataset {name!r}", nearest(name, known))
    return known[name]


def load(path: Path) -> dict[str, Dataset]:
    """The sets of a registry file by name. Raises XmcpipeError for all that is wrong with it."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise XmcpipeError(f"the registry {path} can't be read: {error}", "mend it") from error
    return {name: _dataset(path, name, facts) for name, facts in table.items()}


def _dataset(path: Path, name: str, facts: Any) -> Dataset:
    if not isinstance(facts, dict):
        raise XmcpipeError(f"{path}: {name} is {facts!r}, a table was wanted", f"write [{name}]")
    try:
        return from_table(Dataset, {"name": name, **facts}, name)
    except XmcpipeError as error:
        raise XmcpipeError(f"{path}: {error.message}", error.hint) from error


_load = cache(load)
