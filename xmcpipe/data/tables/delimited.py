"""Reads CSV and TSV in blocks; every value is a string. By default, CSV has double quotes and TSV has none.

pyarrow parses a block at once. Its streaming reader is not used: after an error, it goes on reading in a
thread that may outlive the interpreter.
"""

import csv
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pyarrow as pa
import pyarrow.csv

from xmcpipe.data.tables.checks.opening import first_lines
from xmcpipe.data.tables.checks.type_rows import require_no_types
from xmcpipe.data.tables.lines import text_blocks
from xmcpipe.data.tables.selection import Selection
from xmcpipe.errors import XmcpipeError

logger = logging.getLogger(__name__)

DELIMITERS = (",", ";", "\t", "|")  # of CSV, in the order in which they are tried
BACKSLASHES = 0.1  # escaped quotes a row from which a warning appears
HEADER_ROWS = 20  # in which a header is sought
# What else to do if each row has a value more than the header: it may be an unquoted delimiter as well.
ROW_NAMES = (
    "; if rows begin with their names, as R writes them, give that column a name too (row.names = FALSE)"
)
HEADER_CHARACTERS = 1 << 20  # in which the header ends
# Excel's own line before the header.
EXCEL = re.compile(r'[ \t]*"?sep=([^\r\n])"?[ \t]*\r?\n', re.IGNORECASE)


@dataclass(frozen=True)
class Dialect:
    """The syntax of a delimited file. Values may be in double quotes if `quotes` is "double".

    `no_header` is the option for a file without a header, for the error about a missing column.
    """

    delimiter: str
    encoding: str = "utf-8"
    header: bool = True
    quotes: Literal["double", "none"] = "none"
    no_header: str = "--no-header"

    @property
    def quoted(self) -> bool:
        """Whether values may be enclosed in double quotes."""
        return self.quotes == "double"


def read_delimited(path: Path, selection: Selection, dialect: Dialect) -> Iterator[pl.DataFrame]:
    """Yield the selected columns in batches, all of type string.

    Without a header, the columns are called 1, 2, …. An empty value is the empty string; blank lines are
    skipped. Raises XmcpipeError, with file and row, for a row with too many or too few values, and for a
    missing column.
    """
    names: list[str] = []
    rows_before = 0
    quoted_by = dialect.delimiter if dialect.quoted else ""
    for _, block in text_blocks(path, dialect.encoding, quoted_by, carriage_returns=True):
        first_block = not names
        if first_block:
            block, note = without_note(block)
            first = header_names(path, block, dialect.delimiter, dialect.quoted)
            names = first if dialect.header else [str(number + 1) for number in range(len(first))]
            if dialect.header and not selection.fits(names):
                require_first_header(path, block, names, dialect, selection.fits, bool(note))
            _require_delimiter(names, dialect, path)
            rows = numbered_rows(block, dialect.delimiter, dialect.quoted)
            require_no_types(path, rows, dialect.header, first_line=2 if note else 1)
        way_out = f"use {dialect.no_header} if the first line is data" if dialect.header else ""
        if way_out and dialect.delimiter == "\t" and dialect.no_header == "--no-header":
            way_out += ", or --format libmultilabel for lines of labels and text"
        present = selection.present_in(names, path, way_out)
        skipped = 1 if first_block and dialect.header else 0
        try:
            frame = _parse(block, names, present, dialect, skipped)
        except pa.ArrowInvalid as error:
            named = names if skipped else None
            raise _bad_row(path, error, rows_before, block, named, dialect) from error
        if first_block and dialect.quoted:
            _warn_of_backslashes(block, len(frame), path)
        yield frame
        rows_before += len(frame)
    if not names:
        raise XmcpipeError(f"{path}: expected a table, got an empty file", "check the file")


def _warn_of_backslashes(block: str, rows: int, path: Path) -> None:
    """Warn if quotes inside of values have a backslash before them: CSV has a second quote instead."""
    count = block.count('\\"')
    if count >= max(2, BACKSLASHES * rows):
        at = block.index('\\"')
        message = (
            "warning: %s: quotes have a backslash before them, %s times, such as %r: double them instead"
        )
        logger.warning(message, path, f"{count:,}", block[max(0, at - 20) : at + 20])


def header_names(path: Path, text: str, delimiter: str, quoted: bool = True) -> list[str]:
    """The values in the first row of `text`, the beginning of a file; none of an empty one.

    Raises XmcpipeError for a row that can't be read.
    """
    try:
        return next(_rows(text, delimiter, quoted), [])
    except csv.Error as error:
        mixed = "\r" in text.split("\n", 1)[0].rstrip("\r")
        fault = "lines end with carriage returns and with line feeds" if mixed else str(error)
        raise XmcpipeError(f"{path}, line 1: {fault}", "save it with one kind of line end") from error


def numbered_rows(text: str, delimiter: str, quoted: bool = True) -> Iterator[tuple[int, list[str]]]:
    """The first rows of `text`, the beginning of a file, with the number of the line where each ends, from 1.

    They end before a row that can't be read: the reader of the table will say why.
    """
    reader = _rows(text, delimiter, quoted)
    with suppress(csv.Error):
        for row in reader:
            yield reader.line_num, row


def _rows(text: str, delimiter: str, quoted: bool) -> Any:
    """Python's reader of the rows in the first characters of `text`."""
    quoting: Any = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    lines = (line + "\n" for line in text[:HEADER_CHARACTERS].split("\n"))
    return csv.reader(lines, delimiter=delimiter, quoting=quoting)


def require_first_header(
    path: Path,
    text: str,
    names: list[str],
    dialect: Dialect,
    fits: Callable[[list[str]], bool],
    noted: bool = False,
) -> None:
    """Raise XmcpipeError if the header is not the first row of `text`, `names`, but one of the next rows.

    `fits` says whether a row has the names that are sought. Comments, a licence, or a title stand above it.
    `noted`: whether Excel's own line is above the text.
    """
    for delimiter in dict.fromkeys((dialect.delimiter, *DELIMITERS)):
        rows = islice(numbered_rows(text, delimiter, dialect.quoted), 1, HEADER_ROWS)
        line = next((line for line, row in rows if fits(row)), 0) + noted
        if line > noted:
            first = dialect.delimiter.join(names)[:60]
            above = "line 1" if line == 2 else f"lines 1 to {line - 1}"
            fault = f"expected the header in the first line, got {first!r}; it is in line {line}"
            raise XmcpipeError(f"{path}: {fault}", f"remove {above}")


def has_row_names(text: str, columns: int, delimiter: str, quoted: bool = True) -> bool:
    """Whether each of the first rows has a value more than the header, the first a number of its own."""
    rows = [row for _, row in islice(numbered_rows(text, delimiter, quoted), 1, HEADER_ROWS) if row]
    numbers = {row[0] for row in rows if row[0].isdigit()}
    return len(numbers) == len(rows) > 0 and all(len(row) == columns + 1 and row[-1] for row in rows)


def without_note(text: str) -> tuple[str, str]:
    """The text without Excel's own line before the header, and the delimiter that this line names, or ""."""
    note = EXCEL.match(text)
    return (text[note.end() :], note[1]) if note else (text, "")


def likely_delimiter(
    path: Path, text: str, default: str, named: Callable[[list[str]], bool]
) -> tuple[str, list[str]] | None:
    """The delimiter with which the first row of `text` has the columns sought, and these; None if none does.

    `named` says whether names of columns are those sought. Raises the errors of `header_names`.
    """
    for delimiter in dict.fromkeys((default, *DELIMITERS)):
        if named(names := header_names(path, text, delimiter)):
            return delimiter, names
    return None


def table_delimiter(
    path: Path, encoding: str, default: str = ",", named: Callable[[list[str]], bool] | None = None
) -> str:
    """The delimiter of CSV (`default` is a comma) or TSV.

    It is what Excel's line before the header names; of CSV, that with which the header has the columns sought
    (`named`, None without a header), or else one that all of the first lines have if the first lacks a comma.
    A log line names another one than the default. Raises the errors of `first_lines`.
    """
    lines = first_lines(path, encoding)
    text, noted = without_note("".join(line + "\n" for line in lines))
    if noted:
        message = "%s: the first line, %r, is for Excel: columns are separated by %r (--delimiter)"
        logger.info(message, path, lines[0].strip(), noted)
        return noted
    if default != ",":
        return default
    found = None if named is None else likely_delimiter(path, text, default, named)
    other = _other_delimiter(lines, default) if found is None else found[0]
    if other in (None, default):
        return default
    message = "%s: the first line has no comma: columns are separated by %r, as in %r (--delimiter)"
    if "," in lines[0]:
        message = "%s: the columns of the first line are separated by %r: %r (--delimiter)"
    logger.info(message, path, other, lines[0][:60])
    return other


def _other_delimiter(lines: list[str], delimiter: str) -> str | None:
    """A delimiter that all of the first lines have, if the first of them lacks `delimiter`."""
    if not lines or delimiter in lines[0]:
        return None
    return next((other for other in DELIMITERS if all(other in line for line in lines)), None)


def _require_delimiter(names: list[str], dialect: Dialect, path: Path) -> None:
    """Raise XmcpipeError if the first lines have no delimiter, but all have another one."""
    if len(names) != 1:
        return
    lines = [line for line in first_lines(path, dialect.encoding) if not EXCEL.fullmatch(line + "\n")]
    if other := _other_delimiter(lines, dialect.delimiter):
        raise XmcpipeError(
            f"{path}: expected columns with {dialect.delimiter!r} between them, but the first line has none: "
            f"{lines[0][:60]!r}",
            f"set --delimiter {other!r} (delimiter)",
        )


def _parse(block: str, names: list[str], present: list[str], dialect: Dialect, skipped: int) -> pl.DataFrame:
    """The columns `present` of a block as strings; `names` are all columns, `skipped` is 1 for a header."""
    data = block.encode()
    table = pyarrow.csv.read_csv(
        pa.BufferReader(data),
        # One thread and one block: only then does pyarrow's error name the row.
        pyarrow.csv.ReadOptions(
            use_threads=False, block_size=len(data) + 1, column_names=names, skip_rows_after_names=skipped
        ),
        pyarrow.csv.ParseOptions(
            delimiter=dialect.delimiter,
            quote_char='"' if dialect.quoted else False,
            newlines_in_values=dialect.quoted,
        ),
        pyarrow.csv.ConvertOptions(
            include_columns=present,
            column_types=dict.fromkeys(present, pa.string()),
            strings_can_be_null=False,
        ),
    )
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _bad_row(
    path: Path,
    error: pa.ArrowInvalid,
    rows_before: int,
    block: str,
    header: list[str] | None,
    dialect: Dialect,
) -> XmcpipeError:
    """The error for a row that pyarrow can't parse, with the number of the row in the file.

    `block` is the text that holds it, which begins with the `header`, if that is not None.
    """
    # pyarrow counts rows in the block from 1, including the header.
    found = re.search(r"Row #(\d+): (.*)", str(error), re.DOTALL)
    if found is None:
        return XmcpipeError(f"{path}: not a readable table: {error}", "check the file")
    row = rows_before + int(found[1]) - (header is not None)
    quotes = "double quotes" if dialect.quoted else "no quotes"
    hint = f"the file is read with delimiter {dialect.delimiter!r} and {quotes} (--delimiter, --quotes)"
    if header is not None and has_row_names(block, len(header), dialect.delimiter, dialect.quoted):
        hint += ROW_NAMES
    return XmcpipeError(f"{path}, row {row}: {found[2].strip()[:120]}", hint)
