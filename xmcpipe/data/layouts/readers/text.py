"""Reads layouts with one text per line: line n belongs to row n of a label matrix."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl

from xmcpipe.data.layouts.layout import Files, LayoutOptions
from xmcpipe.data.layouts.readers.ids import DocumentIds, lines_with_ids
from xmcpipe.data.layouts.readers.matrix import LabelMatrix, read_matrix, read_name_lines
from xmcpipe.data.layouts.readers.names import read_names
from xmcpipe.data.raw.documents import DocumentSet
from xmcpipe.errors import XmcpipeError


def read_texts_and_label_names(files: Files, options: LayoutOptions) -> DocumentSet:
    """Read documents whose label files hold label names; the label table has all names that occur."""
    matrices, table = read_name_lines(_label_files(files), options.encoding)
    return DocumentSet(_splits(files, matrices, options), table)


def read_texts_and_matrices(files: Files, options: LayoutOptions) -> DocumentSet:
    """Read documents whose labels are in matrices; the label table is the file of the role `names`, if any.

    Raises XmcpipeError for matrices of different widths, and for labels that are not in the label table.
    """
    matrices = {split: read_matrix(path, options.encoding) for split, path in _label_files(files).items()}
    table = read_names(files, _width(matrices), options)
    for matrix in matrices.values():
        _require_named(matrix, table)
    return DocumentSet(_splits(files, matrices, options), table)


def _label_files(files: Files) -> dict[str, Path]:
    return {split: files[f"{split}_labels"] for split in ("train", "test")}


def _splits(
    files: Files, matrices: Mapping[str, LabelMatrix], options: LayoutOptions
) -> dict[str, Iterator[pl.DataFrame]]:
    return {
        split: _documents(files[f"{split}_text"], matrix, options.encoding)
        for split, matrix in matrices.items()
    }


def _width(matrices: Mapping[str, LabelMatrix]) -> int | None:
    """The number of labels, if the files state it."""
    stated = {matrix.num_labels for matrix in matrices.values() if matrix.num_labels is not None}
    if len(stated) > 1:
        first, second = matrices.values()
        raise XmcpipeError(
            f"{second.path}: expected {first.num_labels:,} labels as in {first.path}, "
            f"got {second.num_labels:,}",
            "check that both files belong to the same version of the dataset",
        )
    return stated.pop() if stated else None


def _require_named(matrix: LabelMatrix, table: pl.DataFrame | None) -> None:
    largest = int(matrix.labels.max(initial=-1))
    if table is not None and largest >= len(table):
        raise XmcpipeError(
            f"{matrix.path}: expected labels below {len(table):,}, the number of names, got {largest:,}",
            "check that it and the file of label names belong to the same version of the dataset",
        )


def _documents(path: Path, matrix: LabelMatrix, encoding: str) -> Iterator[pl.DataFrame]:
    """Yield the documents of a split in batches: the texts in `path`, with the labels in `matrix`."""
    names, row = DocumentIds(), 0
    for ids, lines in lines_with_ids(path, encoding):
        last = row + len(lines)
        if last <= len(matrix):
            id_column = names.next(ids, len(lines)).alias("id")
            yield pl.DataFrame([id_column, lines.str.strip_chars().alias("text"), matrix.lists(row, last)])
        row = last  # if there are too many lines, count them all, so that the error can state their number
    if row != len(matrix):
        raise XmcpipeError(
            f"{path}: expected {len(matrix):,} lines, as {matrix.path} has rows, got {row:,}",
            "each document is one line; check that both files are complete",
        )
