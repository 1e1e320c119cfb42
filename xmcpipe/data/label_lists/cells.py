"""Reads the cells of a table of text as lists: lists saved as text, ids or names between separators, scores.

A list may be JSON, or what Python prints: ['a', 'b'], [3, 1], [('a', 0.9)], {'a': 0.9}. NumPy prints numbers
without commas, which is read; and strings without commas, which is refused, because Python's parser would
join them into one.
"""

import ast
import re
from dataclasses import dataclass
from typing import Any

from xmcpipe.data.label_lists.label_names import shown
from xmcpipe.errors import XmcpipeError
from xmcpipe.json_file import parse_json

LIST = re.compile(r"(?s)\s*[\[({].*[\])}]\s*")
NUMPY_NUMBERS = re.compile(r"\[\s*(?:[-+.\deE]+\s+)*[-+.\deE]+\s*\]")
STRINGS_WITHOUT_COMMA = re.compile(r"""'\s+'|"\s+\"""")
IDS = re.compile(r"\s*\d+(?:\s*[,;|\s]\s*\d+)*\s*")
LEADING_ZERO = re.compile(r"(?<!\d)0\d")
SEPARATORS = (";", "|", ",", "\t")
NUMBER_SEPARATORS = re.compile(r"[,;|\s]+")


@dataclass(frozen=True)
class Cells:
    """The labels of N cells, their scores if the cells hold them, and how they were read.

    `note` is a sentence, or "" if they can be read in one way only. `untyped`: text of whole numbers only.
    """

    labels: list[list[Any]]
    scores: list[list[float]] | None = None
    note: str = ""
    untyped: bool = False


def read_cells(source: str, cells: list[str], ranked: bool) -> Cells:
    """Read the cells of a column of labels; with `ranked`, a set is refused, because it has no order.

    Raises XmcpipeError, with the row, for a cell of no known form.
    """
    filled = [cell for cell in cells if cell.strip()]
    if filled and all(map(LIST.fullmatch, filled)):
        lists = [
            _read_list(source, row, cell, ranked) if cell.strip() else [] for row, cell in enumerate(cells)
        ]
        example: Any = next((items[0] for items in lists if items), None)
        if not isinstance(example, tuple | list):
            return Cells(lists)
        try:
            pairs = [[(label, float(score)) for label, score in items] for items in lists]
        except (TypeError, ValueError) as error:
            raise XmcpipeError(f"{source}: {error}", "write pairs (label, score) in every row") from error
        labels = [[label for label, _ in row] for row in pairs]
        return Cells(labels, [[score for _, score in row] for row in pairs])
    if filled and all(map(IDS.fullmatch, filled)) and not any(map(LEADING_ZERO.search, filled)):
        return Cells([list(map(int, re.findall(r"\d+", cell))) for cell in cells], untyped=True)
    present = [separator for separator in SEPARATORS if any(separator in cell for cell in filled)]
    if len(present) > 1:
        example = next(cell for cell in filled if present[0] in cell or present[1] in cell)
        raise XmcpipeError(
            f"{source}: expected labels with one separator, got {' and '.join(map(repr, present))}, as in "
            f"{shown(example)}",
            'write each row as a JSON list: ["a", "b"]',
        )
    if not present:
        return Cells([[cell.strip()] if cell.strip() else [] for cell in cells])
    split = [[part.strip() for part in cell.split(present[0]) if part.strip()] for cell in cells]
    example = next(cell for cell in filled if present[0] in cell)
    return Cells(split, note=f"{source}: labels are separated by {present[0]!r}, as in {shown(example)}")


def read_scores(source: str, cells: list[str]) -> list[list[float]]:
    """Read the cells of a column of scores: numbers between separators or in a list."""
    rows = []
    for row, cell in enumerate(cells):
        try:
            rows.append([float(word) for word in NUMBER_SEPARATORS.split(cell.strip(" \t[](){}")) if word])
        except ValueError as error:
            raise XmcpipeError(
                f"{source}, row {row}: expected numbers as scores, got {shown(cell)}", "write [0.9, 0.1]"
            ) from error
    return rows


def _read_list(source: str, row: int, cell: str, ranked: bool) -> list[Any]:
    """The items of a list saved as text."""
    if NUMPY_NUMBERS.fullmatch(cell.strip()):
        return [float(word) if re.search("[.eE]", word) else int(word) for word in cell.strip("[ ]").split()]
    try:
        value: Any = parse_json(cell)
    except ValueError:
        try:
            value = None if STRINGS_WITHOUT_COMMA.search(cell) else ast.literal_eval(cell.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            value = None
    if isinstance(value, dict):
        return list(value.items())
    kinds = list | tuple if ranked else list | tuple | set
    if not isinstance(value, kinds) or any(item is ... for item in value):
        raise XmcpipeError(
            f"{source}, row {row}: expected a list of labels, got {shown(cell)}",
            'write each row as a JSON list: ["a", "b"]',
        )
    return list(value)
