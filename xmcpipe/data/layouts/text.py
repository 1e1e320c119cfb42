"""The layouts with a text a line: their lines, beside the rows of a label matrix."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl

from xmcpipe.data.layouts import LayoutOptions
from xmcpipe.data.layouts.ids import DocumentIds, lines_with_ids
from xmcpipe.data.layouts.matrix import LabelMatrix, read_matrix, read_name_lines
from xmcpipe.data.layouts.names import read_names
from xmcpipe.errors import XmcpipeError

Splits = dict[str, Iterator[pl.DataFrame]]


def read_texts(
    files: Mapping[str, Path], layout: str, options: LayoutOptions
) -> tuple[Splits, pl.DataFrame | None]:
    """The splits train and test, to be read once each, and the label table (see Sources).

    Raises XmcpipeError for label matrices of different widths and for `titles_only`, which a line can't tell.
    """
    if options.titles_only:
        raise XmcpipeError(
            f"titles only were wanted, and layout {layout} has a whole text a line", "fetch the raw JSON"
        )
    paths = {split: files[f"{split}_labels"] for split in ("train", "test")}
    table: pl.DataFrame | None
    if layout == "attentionxml":
        matrices, table = read_name_lines(paths, options.encoding)
    else:
        matrices = {split: read_matrix(path, options.encoding) for split, path in paths.items()}
        table = read_names(files, _width(matrices), options)
        for matrix in matrices.values():
            _require_named(matrix, table)
    splits = {
        split: _documents(files[f"{split}_text"], matrix, options.encoding)
        for split, matrix in matrices.items()
    }
    return splits, table


def _width(matrices: Mapping[str, LabelMatrix]) -> int | None:
    """The number of labels, where the files state it."""
    stated = {matrix.num_labels for matrix in matrices.values() if matrix.num_labels is not None}
    if len(stated) > 1:
        first, second = matrices.values()
        raise XmcpipeError(
            f"{first.path} has {first.num_labels:,} labels and {second.path} {second.num_labels:,}",
            "check that both files are of the same version of the dataset",
        )
    return stated.pop() if stated else None


def _require_named(matrix: LabelMatrix, table: pl.DataFrame | None) -> None:
    most = int(matrix.labels.max(initial=-1))
    if table is not None and most >= len(table):
        raise XmcpipeError(
            f"{matrix.path} has the label {most:,}, and there are {len(table):,} labels",
            "check that it and the file of label names are of the same version of the dataset",
        )


def _documents(path: Path, matrix: LabelMatrix, encoding: str) -> Iterator[pl.DataFrame]:
    """Line n with row n, called by its id or, without one, by its number from 0."""
    names, row = DocumentIds(), 0
    for given, lines in lines_with_ids(path, encoding):
        last = row + len(lines)
        if last <= len(matrix):
            ids = names.take(given, len(lines)).alias("id")
            yield pl.DataFrame([ids, lines.str.strip_chars().alias("text"), matrix.lists(row, last)])
        row = last
    if row != len(matrix):
        raise XmcpipeError(
            f"{path} has {row:,} lines and {matrix.path} {len(matrix):,} rows",
            "each document is one line; check that both files are whole",
        )
