"""The first rows of CSV and TSV: where the header is, and what stands above it or is no part of it."""

import csv
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from xmcpipe.errors import XmcpipeError

DELIMITERS = (",", ";", "\t", "|")  # of CSV, in the order in which they are tried
HEADER_ROWS = 20  # in which a header is sought
# What else to do if each row has a value more than the header: it may be an unquoted delimiter as well.
ROW_NAMES = (
    "; if rows begin with their names, as R writes them, give that column a name too (row.names = FALSE)"
)
# How a comment begins. A hashtag has no blank behind the mark; a title of Markdown has.
COMMENT = r"^\s*(?:#+(?:\s|$)|//|%|--\s|/\*|<!--|REM\s)"
COMMENT_WAY_OUT = "; remove the row if it is a comment"
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


def way_out_of_row(row: str, text: str, columns: int | None, delimiter: str, quoted: bool = True) -> str:
    """What else to do about a `row` with too few or too many values; "" if nothing shows.

    `text` is the beginning of the file, whose header has `columns` values; None if `text` has no header.
    """
    names = columns is not None and has_row_names(text, columns, delimiter, quoted)
    return (ROW_NAMES if names else "") + (COMMENT_WAY_OUT if re.match(COMMENT, row) else "")


def without_note(text: str) -> tuple[str, str]:
    """The text without Excel's own line before the header, and the delimiter that this line names, or ""."""
    note = EXCEL.match(text)
    return (text[note.end() :], note[1]) if note else (text, "")
