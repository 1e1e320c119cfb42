"""Finds a row of types below the header of CSV or TSV, as exports of databases and tools for data have it.

    id,text,labels                  id      text     labels
    INTEGER,VARCHAR,ARRAY<STRING>   string  string   discrete
    1,a note,art                    meta    meta     class
                                    1       a note   art

Read as a document, it would be one more, and its type a label. Nothing here loads polars.
"""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from xmcpipe.data.tables.selection import row_error

NumberedRows = Iterator[tuple[int, list[str]]]  # the number of a line, and the values of the row in it

LOOKED_AT = 1000  # rows in which a type of the first one must not come back
# Names of types that are no words of a language, of SQL, Python, pandas, polars, R, Stata, KNIME and Orange.
TYPES = re.compile(
    r"u?int(8|16|32|64|128|eger)?|[iuf](8|16|32|64)|(big|small|tiny|medium)int|integer\d*|float\d*"
    r"|double precision|numeric|number \((integer|double|long|float)\)|bool8?|boolean|dbl|lgl"
    r"|str[0-9fl]*|(large_|large)?(string|utf8|binary)|n?varchar2?|character varying|nchar|chr|fct"
    r"|datetime\d*|timestamp(tz|_ntz|_ltz)?|[bc]lob|jsonb|uuid|bytea|categorical|continuous|discrete"
    r"|(string|int|double|boolean|long)(cell|value)"
    r"|:?-{2,}:?"  # the line of dashes of sqlcmd and Markdown
)
# Names of types that may as well be a text or a label.
WORDS = re.compile(
    "text|char(acter)?|byte|bytes|bit|date|time|interval|number|num|decimal|real|double|long|short|object|category"
    "|cat|factor|list|array|struct|record|map|json|variant|enum|nominal|set"
)
# What stands below the types: the roles of columns in Orange, the modes of BigQuery.
ROLES = {"class", "meta", "ignore", "c", "m", "i", "", "nullable", "required", "repeated"}
# list[str], VARCHAR(255), ARRAY<STRING>, datetime64[ns], <chr>, text[], INTEGER NOT NULL
BARE = re.compile(r"<?(.+?)(?:\s*[(\[<].*[)\]>])?>?(?: not null| null)?")


def require_no_types(path: Path, rows: NumberedRows, header: bool, first_line: int = 1) -> None:
    """Raise XmcpipeError if the row below the header, or the first row without one, has names of types alone.

    `rows` are those of the file, the header too, with lines counted from 1; `first_line` is the number of the
    first one in the file. It is no row of types if one of these comes back in its column, or if another row
    is one too: then the table is about types.
    """
    table = ((line, row) for line, row in rows if row)
    if header:
        next(table, None)
    line, cells = next(table, (0, []))
    names = [cell.strip().lower() for cell in cells]
    if not _are_types(names):
        return
    others = [[cell.strip().lower() for cell in row] for _, row in islice(table, LOOKED_AT)]
    roles = bool(others) and set(others[0]) <= ROLES and any(others[0])
    others = others[1:] if roles else others
    again = any(name == cell for row in others for name, cell in zip(names, row, strict=False))
    if not others or again or any(map(_are_types, others)):
        return
    line += first_line - 1
    shown = ", ".join(repr(cell.strip()[:30]) for cell in cells[:4]) + (", …" if len(cells) > 4 else "")
    raise row_error(
        path,
        f"line {line}",
        f"expected a row of the table, got the types of its columns: {shown}",
        f"remove lines {line} and {line + 1}" if roles else f"remove line {line}",
    )


def _are_types(names: list[str]) -> bool:
    """Whether all cells of a row are names of types; of a row of two, one must be no word of a language."""
    sure = [_is(TYPES, name) for name in names]
    if len(names) < 2 or not (any(sure) or len(names) > 2):
        return False
    return all(known or _is(WORDS, name) for known, name in zip(sure, names, strict=True))


def _is(types: re.Pattern[str], name: str) -> bool:
    """Whether `name` is one of the types, alone or with what it consists of."""
    bare = BARE.fullmatch(name)
    return types.fullmatch(name) is not None or (bare is not None and types.fullmatch(bare[1]) is not None)
