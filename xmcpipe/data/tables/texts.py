"""Reads texts to label from any table that `import` reads, or from lines of plain text.

Tables are read by `formats`, with the same options; only the column of labels is not needed. A file of plain
text has one text a line. A blank line is a text too, so that line n of the file is row n of the output.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import polars as pl

from xmcpipe.data.tables.formats import DocumentColumns, TextFileOptions, join_text, read_rows
from xmcpipe.data.tables.lines import text_lines
from xmcpipe.data.tables.selection import Selection
from xmcpipe.errors import XmcpipeError, require_file

TextKind = Literal["auto", "text"]
PLAIN = (".txt", ".text", "")  # endings of files of plain text, before .gz


def read_texts(
    path: Path, columns: DocumentColumns, options: TextFileOptions, kind: TextKind = "auto"
) -> Iterator[pl.DataFrame]:
    """Yield batches of texts in the order of the file: the columns `id` and `text`, both string.

    `id` is null in a file without ids, and for an empty id unless the user named the column of ids. With the
    kind "text" the file is plain text, whatever its name; "auto" decides by its ending. `columns.labels` is
    not read. Raises the errors of `read_rows`, and XmcpipeError for plain text that looks like JSON lines or
    like fastText's lines of labels and text.
    """
    require_file(path, "--input")
    if kind == "text" or (kind == "auto" and is_plain(path)):
        return _lines(path, options.encoding, checked=kind == "auto")
    return _rows(path, columns, options)


def is_plain(path: Path) -> bool:
    """Whether the ending of `path` is that of a file of plain text."""
    return Path(path.name.lower().removesuffix(".gz")).suffix in PLAIN


def _rows(path: Path, columns: DocumentColumns, options: TextFileOptions) -> Iterator[pl.DataFrame]:
    required = (*dict.fromkeys((*columns.text, *filter(None, [columns.id]))),)
    selection = Selection(required, () if columns.id or "id" in required else ("id",))
    first_row = 0
    for rows in read_rows(path, selection, options):
        text = join_text(rows, columns.text, columns.text_separator, path)
        id_column = columns.id or ("id" if "id" in rows.columns else "")
        ids = _no_ids(len(rows))
        if id_column:
            ids = _ids(rows, id_column, path, first_row, required=bool(columns.id))
        yield pl.DataFrame([ids.alias("id"), text.alias("text")])
        first_row += len(rows)


def _ids(rows: pl.DataFrame, column: str, path: Path, first_row: int, required: bool) -> pl.Series:
    """The ids of `rows`, of which the first is row `first_row` of the file, from 0; null where one is empty.

    Raises XmcpipeError for a column of lists, and for an empty id that is `required`.
    """
    join_text(rows, (column,), "", path)  # raises an error unless the values are plain
    ids = rows[column].cast(pl.String).replace("", None)
    if required and ids.null_count():
        row = first_row + int(ids.is_null().arg_max() or 0) + 1
        raise XmcpipeError(f"{path}, row {row}: {column!r} is empty", "give every row an id")
    return ids


def _lines(path: Path, encoding: str, checked: bool) -> Iterator[pl.DataFrame]:
    for first, lines in text_lines(path, encoding):
        texts = lines.str.strip_chars()
        if checked and first == 1:
            _require_plain(texts, path)
        yield pl.DataFrame([_no_ids(len(texts)).alias("id"), texts.alias("text")])


def _require_plain(texts: pl.Series, path: Path) -> None:
    """JSON and the labels of fastText would otherwise be labelled as if they were part of the text."""
    first = next((text for text in texts if text), "")
    if first.startswith('{"') and first.endswith("}"):
        kind, hint = "JSON", "call it .jsonl"
    elif first.startswith("__label__"):
        kind, hint = "fastText's labels", "remove the labels"
    else:
        return
    raise XmcpipeError(
        f"{path}: expected plain text, but its first line looks like {kind}: {first[:40]}",
        f"{hint}, or take each line as a text with --input-format text",
    )


def _no_ids(count: int) -> pl.Series:
    return pl.Series("id", [None], pl.String).new_from_index(0, count)
