"""Reads tables of any format as batches of documents. The format is the user's choice, or that of the file.

A batch is a polars frame with the columns `id` string, `text` string and `labels` list<string>, without
nulls, in the order of the file. Only one batch is in memory at a time.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import polars as pl

from xmcpipe.data.tables.annotation.answers import Answers, watched_columns
from xmcpipe.data.tables.arrow import class_names, read_ipc, read_parquet
from xmcpipe.data.tables.checks.first_rows import Dialect
from xmcpipe.data.tables.checks.headers import require_document, require_no_header
from xmcpipe.data.tables.checks.mojibake import warn_of_mojibake
from xmcpipe.data.tables.checks.stray_rows import StrayRows
from xmcpipe.data.tables.checks.swapped import warn_of_swapped
from xmcpipe.data.tables.checks.texts import warn_of_odd_texts
from xmcpipe.data.tables.delimited import read_delimited, table_delimiter
from xmcpipe.data.tables.detect import LINE_FORMATS, format_of
from xmcpipe.data.tables.folders import arrow_files, folder_files, read_annif_folder
from xmcpipe.data.tables.jsonl import read_jsonl
from xmcpipe.data.tables.labels.column import LabelReader, LabelSyntax
from xmcpipe.data.tables.labels.separators import SeparatorCheck
from xmcpipe.data.tables.labels.uris import bare_uris, has_uris
from xmcpipe.data.tables.labels.whole_numbers import WholeNumbers
from xmcpipe.data.tables.line_formats import read_lines, require_line_format
from xmcpipe.data.tables.selection import Selection
from xmcpipe.errors import XmcpipeError, require_file

logger = logging.getLogger(__name__)

ANNIF_LABELS = ("subject_uris", "subjects")  # in CSV, in JSON lines
ANNIF_ID = "document_id"


@dataclass(frozen=True)
class TextFileOptions:
    """How to read files: the encoding of text, the header, delimiter and quotes of CSV and TSV.

    With `quotes` auto, CSV has double quotes and TSV has none. `delimiter` is a comma or tab by default.
    `format` is auto or one of the formats in `detect`. `label_prefix` begins the labels of fastText.
    `no_header` is the name of the option for a file without a header, for an error.
    """

    encoding: str = "utf-8"
    header: bool = True
    quotes: Literal["auto", "double", "none"] = "auto"
    format: str = "auto"
    label_prefix: str = "__label__"
    no_header: str = "--no-header"
    delimiter: str | None = None


@dataclass(frozen=True)
class DocumentColumns:
    """The columns of a table that make up a document.

    id: the column of ids. If it is empty, the column `id` is used if the table has one, else the row number,
      counted from 0.
    text: one or more columns. Empty values are skipped, and the others are joined by `text_separator`.
    labels, label_separator, label_columns, multi_hot, label_names: how the table holds labels: the fields
      column, separator, columns, multi_hot and names of LabelSyntax.
    widths: see LabelSyntax.
    listed: the labels of the label table, string, if there is one. If these are numbers of classes, the names
      of classes in the file are not used; if they are URIs, those of documents have no brackets either.

    A table without the column `labels` may have Annif's instead: `subject_uris` or `subjects`.
    """

    id: str = ""
    text: tuple[str, ...] = ("text",)
    text_separator: str = " "
    labels: str = "labels"
    label_separator: str | None = None
    label_columns: tuple[str, ...] | None = None
    multi_hot: bool = False
    label_names: tuple[str, ...] | None = None
    widths: dict[Path, int] = field(default_factory=dict, repr=False)
    listed: pl.Series | None = field(default=None, repr=False, compare=False)

    def selection(self) -> Selection:
        """The columns to read."""
        labels = (self.labels,) if self.label_columns is None else self.label_columns
        required = (*dict.fromkeys((*self.text, *labels, *filter(None, [self.id]))),)
        optional: tuple[str, ...] = () if self.id or "id" in required else ("id",)
        ways_out = dict.fromkeys(self.text, "name the column of texts with --text-column")
        watched = tuple(name for name in watched_columns(self.labels) if name not in required)
        if self.label_columns is not None:
            return Selection(required, optional, ways_out=ways_out, watched=watched)
        stand_ins = {"labels": ANNIF_LABELS} if self.labels == "labels" else {}
        optional += (ANNIF_ID,) if stand_ins and optional else ()
        separated = frozenset([self.labels] if self.label_separator is not None else [])
        lists = frozenset([self.labels, *ANNIF_LABELS[1:]]) - separated
        ways_out[self.labels] = (
            "name the column of labels with --labels-column, or, if each label has a column of 0 and 1, "
            "these with --label-columns"
        )
        return Selection(
            required, optional, lists, separated, stand_ins=stand_ins, ways_out=ways_out, watched=watched
        )

    def label_syntax(self, names: list[str]) -> LabelSyntax:
        """How a table with these columns holds labels: as said here, or as Annif does."""
        if self.labels in names or self.label_columns is not None:
            separator = self.label_separator
            return LabelSyntax(
                self.labels,
                separator,
                self.label_columns,
                self.multi_hot,
                self.label_names,
                widths=self.widths,
            )
        column = next(name for name in ANNIF_LABELS if name in names)
        logger.info("there is no column 'labels': labels are read from %r, as Annif writes them", column)
        separator = self.label_separator or (" " if column == ANNIF_LABELS[0] else None)
        return LabelSyntax(column, separator, bare_uris=True)

    def given(self) -> list[str]:
        """The keys that name columns and aren't at their default."""
        default = DocumentColumns()
        keys = ("id", "text", "labels", "label_separator", "label_columns", "multi_hot")
        return [key for key in keys if getattr(self, key) != getattr(default, key)]


def read_documents(path: Path, columns: DocumentColumns, options: TextFileOptions) -> Iterator[pl.DataFrame]:
    """Yield batches of documents (see the module docstring). Labels are stripped; blank labels are skipped.

    Raises XmcpipeError, with the file and, if known, the line and the column, for an unreadable file, an
    unknown format, a missing column, a value of a wrong type, a missing id, and lists that can't be labels.
    """
    _require_table(path)
    named = bool(columns.given()) or not options.header
    format_ = format_of(path, options.format, named, options.encoding)
    if format_ in LINE_FORMATS:
        keys = columns.given()
        if "label_separator" in keys:
            logger.info(
                "%s: labels of %s need no separator: %r is not used", path, format_, columns.label_separator
            )
        require_line_format(format_, [key for key in keys if key != "label_separator"])
    reader: _DocumentReader | None = None
    selection = columns.selection()
    answers = Answers(path, columns.labels if columns.label_columns is None else "")
    stray = StrayRows(path)
    for rows in filter(len, read_rows(path, selection, replace(options, format=format_))):
        reader = reader or _DocumentReader(path, columns, rows.columns, format_, options)
        documents = reader.read(rows)
        stray.see(documents)
        watched = [name for name in selection.watched if name in rows.columns]
        yield answers.confirmed(rows, documents) if watched else documents
    if reader is not None:
        reader.labels.finish()
        stray.finish()
        yield from answers.finish()


def read_rows(path: Path, selection: Selection, options: TextFileOptions) -> Iterator[pl.DataFrame]:
    """Yield the selected columns of a table in batches, with the types that they have in the file.

    Formats without named columns have `text`, `labels`, and maybe `id`, whatever `selection` says. Raises
    XmcpipeError for a missing file and an unknown format, and the errors of the readers.
    """
    _require_table(path)
    format_ = format_of(path, options.format, encoding=options.encoding)
    if path.is_dir() and format_ == "arrow":
        return (rows for file in arrow_files(path) for rows in read_ipc(file, selection))
    if path.is_dir():
        return read_annif_folder(path, options.encoding)
    if format_ in LINE_FORMATS:
        return read_lines(path, format_, options.encoding, options.label_prefix)
    if format_ in ("jsonl", "json"):
        return read_jsonl(path, selection, options.encoding)
    if format_ in ("parquet", "arrow"):
        return (read_parquet if format_ == "parquet" else read_ipc)(path, selection)
    quotes = options.quotes
    if quotes == "auto":
        quotes = "double" if format_ == "csv" else "none"
    delimiter = options.delimiter
    if delimiter is None:
        named = selection.fits if options.header else None
        delimiter = table_delimiter(path, options.encoding, "," if format_ == "csv" else "\t", named)
    dialect = Dialect(delimiter, options.encoding, options.header, quotes, options.no_header)
    return read_delimited(path, selection, dialect)


def _require_table(path: Path) -> None:
    if path.is_dir():
        folder_files(path)
    else:
        require_file(path, "table")


def join_text(rows: pl.DataFrame, names: tuple[str, ...], separator: str, path: Path) -> pl.Series:
    """The texts of n rows, string [n] without nulls: the columns `names`, stripped and joined.

    Empty values are skipped. Raises XmcpipeError for a column of lists or objects.
    """
    text = [_plain(rows, name, path).cast(pl.String).fill_null("").str.strip_chars() for name in names]
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


class _DocumentReader:
    """Makes documents of the rows of one table, whose columns are `names`, batch by batch."""

    def __init__(
        self,
        path: Path,
        columns: DocumentColumns,
        names: list[str],
        format_: str,
        options: TextFileOptions,
    ) -> None:
        self._path, self._columns = path, columns
        self._header_is_data = ""  # what to do if the first line is a header all the same
        if format_ in LINE_FORMATS:
            self._header_is_data = "remove this line"
        elif format_ in ("csv", "tsv") and not options.header:
            self._header_is_data = f"read it as the header, without {options.no_header}"
        self._compares = columns.label_separator is not None or format_ == "libmultilabel"
        syntax = columns.label_syntax(names)
        classes = None
        if format_ in ("parquet", "arrow") and columns.label_columns is None:
            file = arrow_files(path)[0] if path.is_dir() else path
            classes = class_names(file, format_, syntax.column)
        if classes is not None and columns.listed is not None and _numbered(columns.listed, len(classes)):
            logger.info("%s: the label table lists numbers of classes: labels are these numbers", path)
            classes = None
        # Labels of LibMultiLabel have blanks between them, and no option says otherwise.
        blanks = SeparatorCheck(path, "labels", " ", "write blanks between them")
        self.labels = LabelReader(path, syntax, classes, blanks if format_ == "libmultilabel" else None)
        self._label_column = syntax.column
        self._bare_uris = columns.listed is not None and has_uris(columns.listed)
        annif_id = ANNIF_ID if syntax.bare_uris and ANNIF_ID in names else ""
        self._id = columns.id or ("id" if "id" in names else annif_id)
        self._ids = WholeNumbers(path, self._id)
        self._row = 0

    def read(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The documents in the next rows of the table."""
        text = join_text(rows, self._columns.text, self._columns.text_separator, self._path)
        labels = self.labels.read(rows, self._row)
        labels = bare_uris(labels) if self._bare_uris else labels
        self._check(text, labels)
        ids = self._ids_of(rows)
        self._row += len(rows)
        return pl.DataFrame([ids.alias("id"), text.alias("text"), labels.alias("labels")])

    def _check(self, text: pl.Series, labels: pl.Series) -> None:
        """Look for a header that was read as a document, and, in the first rows, for other misreadings."""
        if not self._row and self._header_is_data:
            require_document(self._path, text[0], labels[0].to_list(), self._header_is_data)
        if len(self._columns.text) == 1 and self._columns.label_columns is None:
            names = (self._columns.text[0], self._label_column)
            require_no_header(self._path, text, labels, names, self._row)
        if not self._row:
            warn_of_odd_texts(self._path, text)
            warn_of_mojibake(self._path, pl.concat([text, labels.explode().drop_nulls().alias(text.name)]))
        if not self._row and self._compares:
            warn_of_swapped(self._path, text, labels)

    def _ids_of(self, rows: pl.DataFrame) -> pl.Series:
        if not self._id:
            return pl.int_range(self._row, self._row + len(rows), eager=True).cast(pl.String)
        ids = self._ids.strings(_plain(rows, self._id, self._path))
        missing = ids.is_null() | (ids == "")
        if missing.any():
            row = self._row + int(missing.arg_max() or 0) + 1
            raise XmcpipeError(f"{self._path}, row {row}: {self._id!r} is empty", "give every row an id")
        return ids


def _numbered(labels: pl.Series, num_classes: int) -> bool:
    """Whether all labels of a label table are numbers of classes."""
    numbers = labels.str.extract(r"^(0|[1-9][0-9]{0,8})$", 1).cast(pl.Int64)
    return not numbers.null_count() and bool((numbers < num_classes).all())


def _plain(rows: pl.DataFrame, name: str, path: Path) -> pl.Series:
    """A column of plain values. Raises XmcpipeError if it holds lists, objects or bytes."""
    column = rows[name]
    if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object):
        raise XmcpipeError(
            f"{path}: expected strings in column {name!r}, got {column.dtype}", "name a column of text"
        )
    return column
