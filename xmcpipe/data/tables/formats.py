"""Reads tables of any format as batches of documents. The file extension determines the format.

A batch is a polars frame with the columns `id` string, `text` string and `labels` list<string>, without
nulls, in the order of the file. Only one batch is in memory at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl
import pyarrow as pa
import pyarrow.parquet

from xmcpipe.data.tables.delimited import Dialect, read_delimited
from xmcpipe.data.tables.jsonl import read_jsonl
from xmcpipe.data.tables.selection import Selection
from xmcpipe.errors import XmcpipeError, require_file

FORMATS = (".jsonl", ".jsonl.gz", ".ndjson", ".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
PARQUET_ROWS = 1 << 15  # maximum number of rows of a batch


@dataclass(frozen=True)
class TextFileOptions:
    """How to read text files: their encoding, and the header and quotes of CSV and TSV (see Dialect)."""

    encoding: str = "utf-8"
    header: bool = True
    quotes: Literal["auto", "double", "none"] = "auto"


@dataclass(frozen=True)
class DocumentColumns:
    """The columns of a table that make up a document.

    id: the column of ids. If it is empty, the column `id` is used if the table has one, else the row number,
      counted from 0.
    text: one or more columns. Empty values are skipped, and the others are joined by `text_separator`.
    labels: a column of lists or, with `label_separator`, of strings.
    """

    id: str = ""
    text: tuple[str, ...] = ("text",)
    text_separator: str = " "
    labels: str = "labels"
    label_separator: str | None = None

    def selection(self) -> Selection:
        """The columns to read."""
        required = (*dict.fromkeys((*self.text, self.labels, *filter(None, [self.id]))),)
        optional = () if self.id or "id" in required else ("id",)
        labels = frozenset([self.labels])
        if self.label_separator is None:
            return Selection(required, optional, lists=labels)
        return Selection(required, optional, separated=labels)


def read_documents(path: Path, columns: DocumentColumns, options: TextFileOptions) -> Iterator[pl.DataFrame]:
    """Yield batches of documents (see the module docstring). Labels are stripped; blank labels are skipped.

    Raises XmcpipeError, with the file and, if known, the line and the column, for an unreadable file, an
    unknown format, a missing column, a value of a wrong type, or a missing id.
    """
    first_row = 0
    for rows in read_rows(path, columns.selection(), options):
        if not rows.is_empty():
            yield _documents(rows, columns, path, first_row)
        first_row += len(rows)


def read_rows(path: Path, selection: Selection, options: TextFileOptions) -> Iterator[pl.DataFrame]:
    """Yield the selected columns of a table in batches, with the types that they have in the file.

    Raises XmcpipeError for a missing file and an unknown format, and the errors of the readers.
    """
    require_file(path, "table")
    if path.name.lower().removesuffix(".gz").endswith((".jsonl", ".ndjson")):
        return read_jsonl(path, selection, options.encoding)
    if delimiter := delimiter_of(path):
        dialect = Dialect(delimiter, options.encoding, options.header, options.quotes)
        return read_delimited(path, selection, dialect)
    if path.name.lower().endswith(".parquet"):
        return _read_parquet(path, selection)
    raise XmcpipeError(f"{path}: unknown table format", "use one of the extensions " + ", ".join(FORMATS))


def delimiter_of(path: Path) -> str:
    """The delimiter of a CSV or TSV file; empty for other formats."""
    name = path.name.lower().removesuffix(".gz")
    return "," if name.endswith(".csv") else "\t" if name.endswith(".tsv") else ""


def _read_parquet(path: Path, selection: Selection) -> Iterator[pl.DataFrame]:
    """Yield the selected columns of a Parquet file in batches."""
    try:
        file = pyarrow.parquet.ParquetFile(path)
        present = selection.present_in(file.schema_arrow.names, path)
        for batch in file.iter_batches(PARQUET_ROWS, columns=present):
            frame = pl.from_arrow(batch)
            assert isinstance(frame, pl.DataFrame)
            yield frame.select(present)
    except (pa.ArrowException, OSError) as error:
        raise XmcpipeError(
            f"{path} can't be read as Parquet: {error}", "check that the file is complete"
        ) from error


def join_text(rows: pl.DataFrame, names: tuple[str, ...], separator: str, path: Path) -> pl.Series:
    """The texts of n rows, string [n] without nulls: the columns `names`, stripped and joined.

    Empty values are skipped. Raises XmcpipeError for a column of lists or objects.
    """
    text = [_plain(rows, name, path).fill_null("").str.strip_chars() for name in names]
    # Numbered, because a column may be named twice.
    parts = pl.DataFrame([column.alias(str(number)) for number, column in enumerate(text)])
    joined = parts.select(
        pl.concat_str(
            [pl.when(pl.col(name) != "").then(pl.col(name)) for name in parts.columns],
            separator=separator,
            ignore_nulls=True,
        )
    ).to_series()
    return joined.fill_null("")


def _documents(rows: pl.DataFrame, columns: DocumentColumns, path: Path, first_row: int) -> pl.DataFrame:
    """The documents in `rows`, of which the first is row `first_row` of the file, from 0."""
    id_column = columns.id or ("id" if "id" in rows.columns else "")
    text = join_text(rows, columns.text, columns.text_separator, path)
    if id_column:
        ids = _plain(rows, id_column, path)
        if ids.null_count() or (ids == "").any():
            row = int((ids.is_null() | (ids == "")).arg_max() or 0)
            raise XmcpipeError(
                f"{path}, row {first_row + row + 1}: {id_column!r} is empty", "give every row an id"
            )
    else:
        ids = pl.int_range(first_row, first_row + len(rows), eager=True).cast(pl.String)
    labels = _labels(rows, columns, path)
    return pl.DataFrame([ids.alias("id"), text.alias("text"), labels.alias("labels")])


def _labels(rows: pl.DataFrame, columns: DocumentColumns, path: Path) -> pl.Series:
    """The labels of each row, list<string> without nulls and blank labels."""
    column = rows[columns.labels]
    if columns.label_separator is not None:
        lists = _plain(rows, columns.labels, path).fill_null("").str.split(columns.label_separator)
    elif isinstance(column.dtype, (pl.List, pl.Array)):
        inner = column.dtype.inner
        if isinstance(inner, pl.DataType) and (
            inner.is_nested() or inner.is_temporal() or inner == pl.Boolean
        ):
            raise XmcpipeError(
                f"{path}: expected lists of strings in column {columns.labels!r}, got {column.dtype}",
                "write each label as a string",
            )
        lists = column.cast(pl.List(pl.String))
    elif column.dtype == pl.Null:  # no row of the batch has labels
        lists = column.cast(pl.List(pl.String))
    else:
        raise XmcpipeError(
            f"{path}: expected lists in column {columns.labels!r}, got {column.dtype}",
            "set label_separator to the text between two labels, for example ';'",
        )
    clean = pl.element().str.strip_chars()
    return lists.list.eval(clean.filter(clean.is_not_null() & (clean != ""))).fill_null([])


def _plain(rows: pl.DataFrame, name: str, path: Path) -> pl.Series:
    """A column of plain values, as strings. Raises XmcpipeError if it holds lists, objects or bytes."""
    column = rows[name]
    if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object):
        hint = "name a column of text" if name != "labels" else "remove label_separator"
        raise XmcpipeError(f"{path}: expected strings in column {name!r}, got {column.dtype}", hint)
    return column.cast(pl.String)
