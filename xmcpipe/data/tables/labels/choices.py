"""Labels as Label Studio writes them: `{"choices": ["a", "b"]}`, and `a` alone where a row has one label."""

from typing import Any

import polars as pl

from xmcpipe.data.tables.labels.list_text import CHOICES_KEY, parse_list

CHOICES = rf'(?s)^\s*\{{\s*"{CHOICES_KEY}"\s*:\s*\[.*\]\s*\}}\s*$'  # in a cell of CSV


def with_choices(strings: pl.Series, separator: str | None) -> pl.Series:
    """The labels in n cells, some of which have choices, list<string> [n]; the others hold one label each.

    With a `separator`, the other cells are split at it.
    """
    cells = strings.unique()
    read = {cell: parse_list(cell) for cell in cells.filter(cells.str.contains(CHOICES))}
    others = {cell: [cell] if separator is None else cell.split(separator) for cell in cells}
    lists: list[Any] = [others[cell] if read.get(cell) is None else read[cell] for cell in strings]
    return pl.Series(strings.name, lists, pl.List(pl.String))
