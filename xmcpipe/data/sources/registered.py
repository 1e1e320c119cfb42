"""A registered set, from its archive to the raw artifact: unpacked, read in its layout, counted.

An archive from a mirror whose version is known must hold exactly what the registry says, else the next mirror
is tried. One that is given by hand is taken for what it is, and what is in it is said.
"""

import hashlib
import logging
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from xmcpipe.artifacts.fingerprint import sha256_of_file
from xmcpipe.data import layouts
from xmcpipe.data.fetch.mirrors import BadArchiveError, UnexpectedContentError, first_good, pages
from xmcpipe.data.raw.policies import AS_GIVEN, Policies
from xmcpipe.data.raw.writing import write_raw
from xmcpipe.data.registry import Counts, Dataset, Mirror
from xmcpipe.data.sources.unpack import unpack
from xmcpipe.errors import XmcpipeError

logger = logging.getLogger(__name__)

UNKNOWN = "unknown"  # the version of what no published figures are of; said whenever the artifact is reused


@dataclass(frozen=True)
class Made:
    """What was written: `figures` and `rows` as of `write_raw`; `source`, the sha256 of its archive."""

    figures: dict[str, Any]
    rows: dict[str, int]
    source: str


@dataclass(frozen=True)
class Making:
    """How a set is made: into the empty folder `out`, by which policies, of whole texts or of titles."""

    dataset: Dataset
    policies: Policies
    out: Path
    scratch: Path
    titles_only: bool = False

    def from_mirrors(self) -> Made:
        """The set from the first of its mirrors that gives it. Raises XmcpipeError as `first_good` does."""
        return first_good(self.dataset.in_fields() if self.titles_only else self.dataset, self._prove)

    def from_given(self, path: Path, source: str) -> Made:
        """The set from a file or folder of the user's, whose `source_of` is `source`."""
        with (
            naming_mirrors(self.dataset),
            nullcontext(path) if path.is_dir() else self._unpacked(path) as folder,
        ):
            return self._write(folder, source)

    def _prove(self, archive: Path, sha256: str, mirror: Mirror) -> Made:
        """What an archive of a mirror holds. Raises errors as `first_good` wants them."""
        try:
            with self._unpacked(archive) as folder:
                made = self._write(folder, sha256, mirror)
        except UnexpectedContentError:
            for path in self.out.iterdir():
                path.unlink()
            raise
        return Made({**made.figures, "mirror": f"{mirror.kind} {mirror.address}"}, made.rows, made.source)

    @contextmanager
    def _unpacked(self, archive: Path) -> Iterator[Path]:
        """The folder that an archive was unpacked to, for as long as it is needed."""
        folder = self.scratch / "unpacked"
        try:
            with _told_as(BadArchiveError):
                unpack(archive, folder)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _write(self, folder: Path, source: str, mirror: Mirror | None = None) -> Made:
        with _told_as(UnexpectedContentError):
            layout, sources = self._read(folder, mirror)
        missing = self._missing_filters(sources.filters)
        if missing:
            fault = "%s comes without %s: the pairs that published figures leave out are counted"
            logger.warning(fault, self.dataset.title, " and ".join(missing))
        seen = _Seen(self.dataset.counts_of(mirror) if mirror else None)
        splits = {split: seen.counting(split, batches) for split, batches in sources.splits.items()}
        with _told_as(UnexpectedContentError) if self._as_given else nullcontext():
            figures, rows = write_raw(
                splits, sources.label_table, self.policies, self.out, self.scratch, sources.filters
            )
        # where the archive doesn't list its labels and the policies drop some, nobody knows how many it has
        listed = None if sources.label_table is None else len(sources.label_table)
        labels = figures["labels"] if listed is None and self._as_given else listed
        version = seen.compare(self.dataset, labels, figures["unseen_labels"])
        version = (version or UNKNOWN) + (", without its filter pairs" if missing else "")
        facts = {"dataset": self.dataset.title, "version": version}
        return Made({**facts, **figures, "layout": layout}, rows, source)

    def _missing_filters(self, there: Iterable[str]) -> list[str]:
        """The files of pairs that the set should have, beside those of the splits that are `there`."""
        return [name for name in self.dataset.filter_files if not any(f"_{each}." in name for each in there)]

    @property
    def _as_given(self) -> bool:
        """Whether the policies keep everything, and refuse nothing."""
        return all(getattr(self.policies, key) == value for key, value in AS_GIVEN.items())

    def _read(self, folder: Path, mirror: Mirror | None) -> tuple[str, Any]:
        """The layout of a folder, and its documents, labels and filter pairs (see xmcpipe.data.layouts)."""
        layout = _layout_of(folder, mirror)
        # by hand comes one of the archives that the registry knows, if not from where it says
        alike = [mirror] if mirror else [each for each in self.dataset.mirrors if each.layout == layout]
        encoding = alike[0].encoding if alike else "utf-8"
        options = layouts.LayoutOptions(self.dataset.text_fields, " ", encoding, self.titles_only)
        return layout, layouts.read_layout(folder, layout, options)


def source_of(path: Path) -> str:
    """One sha256 of a file, or of those files of a folder that are read. Raises XmcpipeError for neither."""
    if path.is_file():
        return sha256_of_file(path)
    if not path.is_dir():
        raise XmcpipeError(f"{path} does not exist, an archive or a folder was wanted", "check the path")
    layout = layouts.detect_layout(path)
    digest = hashlib.sha256(layout.encode())
    for role, file in layouts.layout_files(path, layout).items():
        digest.update(f"{role} {sha256_of_file(file)}\n".encode())
    return digest.hexdigest()


@contextmanager
def naming_mirrors(dataset: Dataset) -> Iterator[None]:
    """Where the block finds bags of words alone, say where the text is."""
    try:
        yield
    except XmcpipeError as error:
        if not isinstance(error.__cause__ or error, layouts.NoTextError):
            raise
        hint = f"text is needed, and any of {', '.join(pages(dataset))} has it"
        raise XmcpipeError(error.message, hint) from error


def _layout_of(folder: Path, mirror: Mirror | None) -> str:
    """What the mirror is said to have, where the folder has that among others; else what it has."""
    if mirror:
        with suppress(XmcpipeError):
            layouts.layout_files(folder, mirror.layout)
            return mirror.layout
    return layouts.detect_layout(folder)


@dataclass
class _Seen:
    """Documents of each split, counted as they are read, and held against what is `wanted`."""

    wanted: Counts | None
    documents: dict[str, int] = field(default_factory=dict)

    def counting(self, split: str, batches: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """The batches. Raises UnexpectedContentError where they can't be read, or are too few or many."""
        self.documents[split] = 0
        with _told_as(UnexpectedContentError):
            for batch in batches:
                self.documents[split] += len(batch)
                yield batch
        found = self.documents[split]
        wanted = {"train": self.wanted.train, "test": self.wanted.test}[split] if self.wanted else found
        if found != wanted or not found:
            most = f"{wanted:,} were wanted" if wanted else "some were wanted"
            raise UnexpectedContentError(f"it holds {found:,} {split} documents, {most}")

    def compare(self, dataset: Dataset, labels: int | None, unseen: int) -> str | None:
        """The name of the version that this is; None, and a line that says so, where no such one is known.

        `unseen` of the `labels` only the test has. Raises UnexpectedContentError where another is wanted.
        """
        documents = self.documents
        found = f"{documents['train']:,} + {documents['test']:,} documents"
        if labels is not None:
            found += f", {labels:,} labels"
        for version in [self.wanted] if self.wanted else dataset.versions:
            # some count the labels of the test that training never sees, some don't
            labels_fit = labels is None or version.labels in (labels, labels - unseen)
            if labels_fit and documents == {"train": version.train, "test": version.test}:
                logger.info("%s holds %s, as %s has it", dataset.title, found, version.source)
                return version.name
        if self.wanted:
            raise UnexpectedContentError(f"it holds {found}; {self.wanted} were wanted")
        known = "; ".join(f"{version} ({version.source})" for version in dataset.versions)
        logger.warning("%s holds %s, which is no version that is known: %s", dataset.title, found, known)
        return None


@contextmanager
def _told_as(kind: type[XmcpipeError]) -> Iterator[None]:
    """An XmcpipeError of the block, as one of this kind."""
    try:
        yield
    except XmcpipeError as error:
        raise kind(error.message, error.hint) from error
