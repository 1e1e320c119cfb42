"""Reads cells that are lists as R, Postgres, Julia and Python's collections print them, as import does."""

import re

import polars as pl

from xmcpipe.data.label_lists.label_names import shown
from xmcpipe.data.tables.labels.printed import printed_lists, unread_print
from xmcpipe.errors import XmcpipeError

SET = re.compile(r"\s*(?:frozen)?set\(")  # whose order others look at
WHOLE = re.compile(r"-?(?:0|[1-9][0-9]*)")


def printed_cells(cells: list[str]) -> list[list[int]] | list[list[str]] | None:
    """The labels in N cells that are all such lists, or blank; None for other text.

    Whole numbers between braces alone are a set of Python as well, and so are left to others.
    """
    lists = printed_lists(pl.Series(cells, dtype=pl.String))
    if lists is None or any(map(SET.match, cells)):
        return None
    rows = [[item for item in row if item is not None] for row in lists.to_list()]
    if not all(WHOLE.fullmatch(item) for row in rows for item in row):
        return rows
    if all(cell.lstrip().startswith("{") for cell in cells if cell.strip()):
        return None
    return [[int(item) for item in row] for row in rows]


def require_no_print(source: str, filled: list[str]) -> None:
    """Raise XmcpipeError for cells that are all prints of collections that can't be read surely."""
    if (printed := unread_print(filled)) is not None:
        raise XmcpipeError(
            f"{source}: expected labels, got in all rows a collection as a program prints it, such as "
            f"{shown(printed)}",
            'write each row as a JSON list: ["a", "b"] (Spark: to_json, R: jsonlite::toJSON)',
        )
