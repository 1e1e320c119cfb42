"""Reads texts to label from any table that `import` reads, or from lines of plain text.

Tables are read by `formats`, with the same options; only the column of labels is not needed. A file of plain
text has one text a line. A blank line is a text too, so that line n of the file is row n of the output.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl

from xmcpipe.data.tables.checks.opening import unpacked_name
from xmcpipe.data.tables.detect import format_of
from xmcpipe.data.tables.folders import read_text_folder
from xmcpipe.data.tables.formats import DocumentColumns, TextFileOptions, join_text, read_rows
from xmcpipe.data.tables.labels.whole_numbers import WholeNumbers
from xmcpipe.data.tables.lines import text_lines
from xmcpipe.data.tables.selection import Selection
from xmcpipe.errors import XmcpipeError, require_file

PLAIN = (".txt", ".text", "")  # endings of files of plain text, before .gz


def read_texts(
    path: Path, columns: DocumentColumns, options: TextFileOptions, plain: bool = False
) -> Iterator[pl.DataFrame]:
    """Yield batches of texts in the order of the file: the columns `id` and `text`, both string.

    `path` may be a folder: of .txt files, each of which is a text, or of a dataset that `datasets` saved.

    `id` is null in a file without ids, and for an empty id unless the user named the column of ids. With
    `plain` every line is a text, whatever the name of the file; without it, those of a file that is called as
    text files are, unless it has lines of labels and text. `columns.labels` is not read. Raises the errors of
    `read_rows`, and XmcpipeError for text that may be JSON lines or may have labels.
    """
    if path.is_dir() and format_of(path) == "annif":
        return read_text_folder(path, options.encoding)
    if not path.is_dir():
        require_file(path, "--input")
    if plain:
        return _lines(path, options.encoding, checked=False)
    try:
        format_ = format_of(path, options.format, encoding=options.encoding)
    except XmcpipeError as error:
        if is_plain(path) and "look like" not in error.hint:
            return _lines(path, options.encoding, checked=True)
        hint = error.hint.replace("--format", "--input-format")
        raise XmcpipeError(error.message, f"{hint}; --input-format text reads a text per line") from error
    return _rows(path, columns, replace(options, format=format_))


def is_plain(path: Path) -> bool:
    """Whether the ending of `path` is that of a file of plain text."""
    return Path(unpacked_name(path)).suffix in PLAIN


def _rows(path: Path, columns: DocumentColumns, options: TextFileOptions) -> Iterator[pl.DataFrame]:
    required = (*dict.fromkeys((*columns.text, *filter(None, [columns.id]))),)
    ways_out = dict.fromkeys(columns.text, "name the column of texts with --text-column")
    optional = () if columns.id or "id" in required else ("id",)
    selection, first_row = Selection(required, optional, ways_out=ways_out), 0
    whole = WholeNumbers(path, columns.id or "id")
    for rows in read_rows(path, selection, options):
        text = join_text(rows, columns.text, columns.text_separator, path)
        id_column = columns.id or ("id" if "id" in rows.columns else "")
        ids = _no_ids(len(rows))
        if id_column:
            ids = _ids(rows, id_column, path, first_row, whole, bool(columns.id))
        yield pl.DataFrame([ids.alias("id"), text.alias("text")])
        first_row += len(rows)


def _ids(
    rows: pl.DataFrame, column: str, path: Path, first_row: int, whole: WholeNumbers, required: bool
) -> pl.Series:
    """The ids of `rows`, of which the first is row `first_row` of the file, from 0; null where one is empty.

    Raises XmcpipeError for a column of lists, and for an empty id that is `required`.
    """
    join_text(rows, (column,), "", path)  # raises an error unless the values are plain
    ids = whole.strings(rows[column]).replace("", None)
    if required and ids.null_count():
        row = first_row + int(ids.is_null().arg_max() or 0) + 1
        raise XmcpipeError(f"{path}, row {row}: {column!r} is empty", "give every row an id")
    return ids


def _lines(path: Path, encoding: str, checked: bool) -> Iterator[pl.DataFrame]:
    for first, lines in text_lines(path, encoding, carriage_returns=True):
        texts = lines.str.strip_chars()
        if checked and first == 1:
            _require_plain(texts, path)
        yield pl.DataFrame([_no_ids(len(texts)).alias("id"), texts.alias("text")])


def _require_plain(texts: pl.Series, path: Path) -> None:
    """Objects of JSON lines would otherwise be labelled as if their braces and keys were text."""
    first = next((text for text in texts if text), "")
    if first.startswith('{"') and first.endswith("}"):
        raise XmcpipeError(
            f"{path}: expected plain text, but its first line looks like JSON: {first[:40]}",
            "--input-format jsonl reads objects, --input-format text a text per line",
        )


def _no_ids(count: int) -> pl.Series:
    return pl.Series("id", [None], pl.String).new_from_index(0, count)
