"""Reads rows with one label each, whatever it contains: `--label-separator none`.

Only lists that were saved as text are still told by their quotes and brackets: `['art']` is the label art.
"""

from pathlib import Path

import polars as pl

from xmcpipe.data.tables.labels.choices import CHOICES
from xmcpipe.data.tables.labels.list_text import parse_list
from xmcpipe.data.tables.selection import row_error
from xmcpipe.errors import XmcpipeError

# An empty list, or one of strings in quotes. Names may have brackets around them, such as (unknown).
LIST = rf"(?s)^\s*[\[({{]\s*(?:[uU]?['\"].*['\"]\s*,?\s*)?[\])}}]\s*$|{CHOICES}"


def as_lists(strings: pl.Series) -> pl.Series:
    """Each of n strings as a list of one label, list<string> [n]; the items of a list saved as text."""
    listed = strings.str.contains(LIST)
    if not listed.any():
        return strings.reshape((-1, 1)).cast(pl.List(pl.String))
    parsed = {text: parse_list(text) for text in strings.filter(listed).unique()}
    lists = {text: items for text, items in parsed.items() if items is not None}
    return pl.Series(strings.name, [lists.get(text, [text]) for text in strings], pl.List(pl.String))


def require_one(lists: pl.Series, path: Path, column: str, first_row: int) -> None:
    """Raise XmcpipeError for a list of several labels; `first_row` is the number of the first, from 0."""
    several = lists.list.len() > 1
    if several.any():
        row = int(several.arg_max() or 0)
        raise _several(path, column, first_row + row + 1, lists[row].to_list())


def _several(path: Path, column: str, row: int, labels: list[str]) -> XmcpipeError:
    shown = ", ".join(repr(label[:40]) for label in labels[:3])
    return row_error(
        path,
        f"row {row}",
        f"expected one label in {column!r}, as the label separator 'none' says, got a list of "
        f"{len(labels)}: {shown}",
        "omit --label-separator (label_separator) if all rows hold lists, or set it to a text that no label "
        "holds, such as '||'",
    )
