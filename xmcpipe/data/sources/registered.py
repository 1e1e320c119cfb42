"""Makes the raw artifact of a registered dataset: unpacks its archive, reads its layout, checks its counts.

If the version of a mirror is known, its archive must have exactly the counts in the registry; otherwise, the
next mirror is tried. An archive that the user names is used in any case, and its version is reported.
"""

import hashlib
import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from xmcpipe.artifacts.fingerprint import sha256_of_file
from xmcpipe.data.fetch.mirrors import (
    BadArchiveError,
    UnexpectedContentError,
    from_first_valid,
    mirror_pages,
)
from xmcpipe.data.layouts import LayoutOptions, NoTextError, detect_layout, layout_files, read_layout
from xmcpipe.data.raw.documents import DocumentSet
from xmcpipe.data.raw.policies import AS_GIVEN, Policies
from xmcpipe.data.raw.writing import write_raw
from xmcpipe.data.registry import Counts, Dataset, Mirror
from xmcpipe.data.sources.unpack import unpack
from xmcpipe.errors import XmcpipeError

logger = logging.getLogger(__name__)

UNKNOWN = "unknown"  # the version if the counts match no published ones; reusing such data prints a warning


@dataclass(frozen=True)
class RawFigures:
    """The result of writing a raw artifact.

    `figures` and `rows` are as `write_raw` returns them; `source` is the sha256 of the archive.
    """

    figures: dict[str, Any]
    rows: dict[str, int]
    source: str


@dataclass(frozen=True)
class DatasetWriter:
    """Writes the raw artifact of a registered dataset into the empty folder `out`, by the given policies.

    With `titles_only`, texts are titles; otherwise, they consist of all text fields of the dataset.
    """

    dataset: Dataset
    policies: Policies
    out: Path
    scratch: Path
    titles_only: bool = False

    def from_mirrors(self) -> RawFigures:
        """Write the first valid archive of the mirrors. Raises the errors of `from_first_valid`."""
        dataset = self.dataset.with_fields() if self.titles_only else self.dataset
        return from_first_valid(dataset, self._from_archive)

    def from_path(self, path: Path, source: str) -> RawFigures:
        """Write an archive or folder that the user names; `source` is the result of `source_of`."""
        with (
            text_mirrors_in_hint(self.dataset),
            nullcontext(path) if path.is_dir() else self._unpacked(path) as folder,
        ):
            return self._write(folder, source)

    def _from_archive(self, archive: Path, sha256: str, mirror: Mirror) -> RawFigures:
        """Write the archive of a mirror. Raises the errors that `from_first_valid` expects."""
        try:
            with self._unpacked(archive) as folder:
                raw = self._write(folder, sha256, mirror)
        except UnexpectedContentError:
            # Remove all files, because the next mirror writes into the same folder.
            for path in self.out.iterdir():
                path.unlink()
            raise
        return RawFigures({**raw.figures, "mirror": f"{mirror.kind} {mirror.address}"}, raw.rows, raw.source)

    @contextmanager
    def _unpacked(self, archive: Path) -> Iterator[Path]:
        """Unpack an archive, and yield the folder; it is removed after the block."""
        folder = self.scratch / "unpacked"
        try:
            with _errors_as(BadArchiveError):
                unpack(archive, folder)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _write(self, folder: Path, source: str, mirror: Mirror | None = None) -> RawFigures:
        """Write the dataset in `folder`. Raises UnexpectedContentError if it isn't the expected one."""
        with _errors_as(UnexpectedContentError):
            layout, documents = self._read(folder, mirror)
        missing = self._missing_filters(documents.filters)
        if missing:
            warning = "%s comes without %s: pairs that published figures exclude are counted"
            logger.warning(warning, self.dataset.title, " and ".join(missing))
        counter = _DocumentCounter(self.dataset.counts_of(mirror) if mirror else None)
        splits = {split: counter.counting(split, batches) for split, batches in documents.splits.items()}
        # If the policies keep everything, they refuse nothing, so an error here is an error of the archive.
        with _errors_as(UnexpectedContentError) if self._keeps_everything else nullcontext():
            counted = DocumentSet(splits, documents.label_table, documents.filters)
            figures, rows = write_raw(counted, self.policies, self.out, self.scratch)
        # If the archive has no list of labels and the policies drop some, its number of labels is unknown.
        listed = None if documents.label_table is None else len(documents.label_table)
        labels = figures["labels"] if listed is None and self._keeps_everything else listed
        version = counter.matching_version(self.dataset, labels, figures["unseen_labels"])
        version = (version or UNKNOWN) + (", without its filter pairs" if missing else "")
        facts = {"dataset": self.dataset.title, "version": version}
        return RawFigures({**facts, **figures, "layout": layout}, rows, source)

    def _missing_filters(self, filters: Mapping[str, Any]) -> list[str]:
        """The missing files of filter pairs; `filters` has the splits for which pairs were found."""
        return [
            name for name in self.dataset.filter_files if not any(f"_{split}." in name for split in filters)
        ]

    @property
    def _keeps_everything(self) -> bool:
        """Whether the policies keep all documents and labels, and refuse nothing."""
        return all(getattr(self.policies, key) == value for key, value in AS_GIVEN.items())

    def _read(self, folder: Path, mirror: Mirror | None) -> tuple[str, DocumentSet]:
        """The layout of a folder, and its documents, labels and filter pairs."""
        layout = _layout_of(folder, mirror)
        # Without a mirror, assume the encoding of a mirror with this layout: most users downloaded from one.
        alike = [mirror] if mirror else [each for each in self.dataset.mirrors if each.layout == layout]
        encoding = alike[0].encoding if alike else "utf-8"
        options = LayoutOptions(self.dataset.text_fields, " ", encoding, self.titles_only)
        return layout, read_layout(folder, layout, options)


def source_of(path: Path) -> str:
    """The sha256 of a file, or one over those files of a folder that are read.

    Raises XmcpipeError if `path` is neither, or is a folder without a known layout.
    """
    if path.is_file():
        return sha256_of_file(path)
    if not path.is_dir():
        raise XmcpipeError(f"expected an archive or a folder, but {path} does not exist", "check the path")
    layout = detect_layout(path)
    digest = hashlib.sha256(layout.encode())
    for role, file in layout_files(path, layout).items():
        digest.update(f"{role} {sha256_of_file(file)}\n".encode())
    return digest.hexdigest()


@contextmanager
def text_mirrors_in_hint(dataset: Dataset) -> Iterator[None]:
    """If the block raises NoTextError, replace its hint by the pages of the mirrors, which have texts."""
    try:
        yield
    except XmcpipeError as error:
        if not isinstance(error.__cause__ or error, NoTextError):
            raise
        hint = f"text is needed; these have it: {', '.join(mirror_pages(dataset))}"
        raise XmcpipeError(error.message, hint) from error


def _layout_of(folder: Path, mirror: Mirror | None) -> str:
    """The layout of the mirror if the folder has all files of it, else the detected layout.

    An archive may hold several layouts; that of the mirror then takes precedence.
    """
    if mirror:
        with suppress(XmcpipeError):
            layout_files(folder, mirror.layout)
            return mirror.layout
    return detect_layout(folder)


@dataclass
class _DocumentCounter:
    """Counts the documents of each split while they are read, and compares the counts with `expected`."""

    expected: Counts | None
    documents: dict[str, int] = field(default_factory=dict)

    def counting(self, split: str, batches: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """Yield the batches of a split, and count their documents.

        Raises UnexpectedContentError if they can't be read, or if their number is not the expected one.
        """
        self.documents[split] = 0
        with _errors_as(UnexpectedContentError):
            for batch in batches:
                self.documents[split] += len(batch)
                yield batch
        found = self.documents[split]
        stated = {"train": self.expected.train, "test": self.expected.test}[split] if self.expected else 0
        if not found or found != (stated or found):
            number = f"{stated:,}" if stated else "at least one"
            raise UnexpectedContentError(f"expected {number} {split} documents, got {found:,}")

    def matching_version(self, dataset: Dataset, labels: int | None, unseen: int) -> str | None:
        """The name of the version with these counts; None, after a warning, if there is no such version.

        `labels` is the number of labels, if it is known; `unseen` of them occur in the test split only.
        Raises UnexpectedContentError if there is an `expected` version and it has other counts.
        """
        documents = self.documents
        found = f"{documents['train']:,} + {documents['test']:,} documents"
        if labels is not None:
            found += f", {labels:,} labels"
        for version in [self.expected] if self.expected else dataset.versions:
            # Some published counts include labels that occur in the test split only, others don't.
            labels_fit = labels is None or version.labels in (labels, labels - unseen)
            if labels_fit and version.agrees(documents):
                logger.info("%s has %s, as published by %s", dataset.title, found, version.source)
                return version.name
        if self.expected:
            raise UnexpectedContentError(f"expected {self.expected}, got {found}")
        known = "; ".join(f"{version} ({version.source})" for version in dataset.versions)
        logger.warning("%s has %s, which match no published version: %s", dataset.title, found, known)
        return None


@contextmanager
def _errors_as(kind: type[XmcpipeError]) -> Iterator[None]:
    """Convert any XmcpipeError that the block raises to the class `kind`."""
    try:
        yield
    except XmcpipeError as error:
        raise kind(error.message, error.hint) from error
