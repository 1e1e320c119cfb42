"""Reads CSV and TSV in blocks; every value is a string. By default, CSV has double quotes and TSV has none.

pyarrow parses a block at once. Its streaming reader is not used: after an error, it goes on reading in a
thread that may outlive the interpreter.
"""

import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.csv

from xmcpipe.data.tables.checks.first_rows import (
    DELIMITERS,
    EXCEL,
    Dialect,
    header_names,
    numbered_rows,
    require_first_header,
    way_out_of_row,
    without_note,
)
from xmcpipe.data.tables.checks.header_levels import require_one_header
from xmcpipe.data.tables.checks.opening import first_lines
from xmcpipe.data.tables.checks.type_rows import require_no_types
from xmcpipe.data.tables.checks.written import require_delimited
from xmcpipe.data.tables.lines import text_blocks
from xmcpipe.data.tables.selection import Selection
from xmcpipe.errors import XmcpipeError

logger = logging.getLogger(__name__)

BACKSLASHES = 0.1  # escaped quotes a row from which a warning appears


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
                require_delimited(path, block)
            _require_delimiter(names, dialect, path)
            _check_first_rows(path, block, dialect, first_line=2 if note else 1)
        way_out = f"use {dialect.no_header} if the first line is data" if dialect.header else ""
        if way_out and dialect.delimiter == "\t" and dialect.no_header == "--no-header":
            way_out += ", or --format libmultilabel for lines of labels and text"
        present = selection.present_in(names, path, way_out)
        skipped = 1 if first_block and dialect.header else 0
        try:
            frame = _parse(block, names, present, dialect, skipped)
        except pa.ArrowInvalid as error:
            if skipped:
                require_delimited(path, block)
            named = names if skipped else None
            raise _bad_row(path, error, rows_before, block, named, dialect) from error
        if first_block and dialect.quoted:
            _warn_of_backslashes(block, len(frame), path)
        yield frame
        rows_before += len(frame)
    if not names:
        raise XmcpipeError(f"{path}: expected a table, got an empty file", "check the file")


def _check_first_rows(path: Path, block: str, dialect: Dialect, first_line: int) -> None:
    """Raise XmcpipeError for rows below the header that are no rows of the table."""

    def rows() -> Iterator[tuple[int, list[str]]]:
        return numbered_rows(block, dialect.delimiter, dialect.quoted)

    if dialect.delimiter == "|":  # as in tables of Markdown and of wikis
        require_delimited(path, block)
    require_no_types(path, rows(), dialect.header, first_line)
    if dialect.header:
        require_one_header(path, rows(), first_line)


def _warn_of_backslashes(block: str, rows: int, path: Path) -> None:
    """Warn if quotes inside of values have a backslash before them: CSV has a second quote instead."""
    count = block.count('\\"')
    if count >= max(2, BACKSLASHES * rows):
        at = block.index('\\"')
        message = (
            "warning: %s: quotes have a backslash before them, %s times, such as %r: double them instead"
        )
        logger.warning(message, path, f"{count:,}", block[max(0, at - 20) : at + 20])


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
    columns = None if header is None else len(header)
    hint += way_out_of_row(found[2].partition(": ")[2], block, columns, dialect.delimiter, dialect.quoted)
    return XmcpipeError(f"{path}, row {row}: {found[2].strip()[:120]}", hint)
