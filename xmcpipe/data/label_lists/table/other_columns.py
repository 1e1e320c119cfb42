"""Columns of a table beside those that are read: a second list of labels, or numbers that may be scores.

Predictions in a table with their truth may be called anything. So a second column of lists is refused, and a
number of each label that isn't used is told. A truth with rows that annotators did not confirm is refused.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from xmcpipe.data.label_lists.table.cells import BETWEEN, IDS
from xmcpipe.data.label_lists.table.column_names import ID_LIKE
from xmcpipe.data.label_lists.table.list_cells import LIST, NUMBER
from xmcpipe.data.tables.annotation.answers import UNCONFIRMED, WORDS
from xmcpipe.errors import XmcpipeError

Columns = Sequence[tuple[str, list[str]]]  # the name and the cells of each
FACTS = re.compile(r"""(?s)\s*\{.*:\s*["'\[{tfn].*""")  # an object of other values than scores
PARTS = re.compile(r"""[^;|,\t\n\[\](){}'"]+""")
SEPARATOR = re.compile(r"[;|,\t\n]")
NUMBERS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}
INDEX = re.compile(r"|Unnamed: 0")  # the name of pandas' index, and what it is called when it is read again


def list_columns(others: Columns, labels: list[str], scored: bool) -> Iterator[str]:
    """The columns that hold lists as text, labels of the column `labels` between separators, or scores."""
    known = {part for cell in labels for part in _parts(cell)}
    lengths = [len(_parts(cell)) for cell in labels]
    for name, cells in others:
        filled = [cell for cell in cells if cell.strip()]
        if not filled:
            continue
        lists = sum(bool(LIST.fullmatch(cell)) and not FACTS.fullmatch(cell) for cell in filled)
        parts = {part for cell in filled for part in _parts(cell)}
        several = any(SEPARATOR.search(cell) or _has_ids(cell) for cell in filled)
        shared = several and 2 * len(parts & known) > len(parts)
        if 2 * lists > len(filled) or shared or (not scored and _are_scores(cells, lengths)):
            yield name


def _has_ids(cell: str) -> bool:
    """Whether a cell holds several ids, which may have blanks between them."""
    return IDS.fullmatch(cell) is not None and len(_parts(cell)) > 1


def _parts(cell: str) -> list[str]:
    """The labels of a cell, or what would be labels."""
    if IDS.fullmatch(cell):
        return [part for part in BETWEEN.split(cell.strip()) if part]
    return [part.strip() for part in PARTS.findall(cell) if part.strip()]


def _are_scores(cells: list[str], lengths: list[int]) -> bool:
    """Whether cells hold a decimal number for each label, and some several."""
    words = [[word for word in BETWEEN.split(cell.strip(" []()")) if word] for cell in cells]
    every = [word for row in words for word in row]
    decimals = all(re.fullmatch(NUMBER, word) for word in every) and any("." in word for word in every)
    return decimals and max(lengths, default=0) > 1 and list(map(len, words)) == lengths


def doubts_about_numbers(
    path: Path, ids: list[str], labels: list[str], others: Columns, ranked: bool
) -> Iterator[str]:
    """Sentences about numbers in a table with a row per label that may be scores, or 0 for what is none.

    Numbers of a document, or of a label, are neither. Raises XmcpipeError for a truth of all pairs.
    """
    for name, cells in others:
        values = _numbers(cells)
        if values is None or ID_LIKE.fullmatch(name.strip()):
            continue
        if _follow(ids, values) or _follow(labels, values) or _count_rows(values):
            continue
        if ranked:
            yield (
                f"{path}: column {name!r} is not used: is it the score of each label? Call it 'score', or "
                "'rank' if the smallest is the best"
            )
        elif 0 in values:
            pairs = len(set(ids)) * len(set(labels))
            if set(values) <= {0, 1} and len(set(zip(ids, labels, strict=True))) == pairs:
                raise XmcpipeError(
                    f"{path}: expected a row for each label of a document, got all {pairs:,} pairs, with 0 "
                    f"or 1 in column {name!r}",
                    "call the column 'score': 0 then says that a label is none; or remove the rows with 0",
                )
            yield (
                f"{path}: column {name!r} is not used, and rows with 0 in it count as labels too: if 0 says "
                "that a label is none, call it 'score'"
            )


def _numbers(cells: list[str]) -> list[float] | None:
    """The numbers, or truth values, in all cells; None if there is another text."""
    texts = [cell.strip().lower() for cell in cells]
    if not all(text in NUMBERS or re.fullmatch(NUMBER, text) for text in texts):
        return None
    return [NUMBERS[text] if text in NUMBERS else float(text) for text in texts]


def _follow(keys: list[str], values: list[float]) -> bool:
    """Whether each key has one value, and some key occurs twice."""
    pairs = set(zip(keys, values, strict=True))
    return len(pairs) == len(set(keys)) < len(keys)


def _count_rows(values: list[float]) -> bool:
    return len(values) > 2 and all(after - before == 1 for before, after in pairwise(values))


def require_confirmed(path: Path, others: Columns) -> None:
    """Raise XmcpipeError for a truth with rows that annotators rejected, ignored, discarded or cancelled."""
    for name, values in others:
        words = WORDS.get(name, ())
        given = [str(value).strip().lower() for value in values]
        found = [value for value in given if value in UNCONFIRMED]
        if found and words and {*given} <= {*words, ""}:
            what = " or ".join(dict.fromkeys(found))
            raise XmcpipeError(
                f"{path}: in {len(found):,} of {len(given):,} rows {name!r} is {what}: annotators "
                "did not confirm their labels",
                f"remove these rows, or rename {name!r} if it is not the column of an annotation tool",
            )


def doubt_about_index(path: Path, columns: Columns) -> str:
    """What to say of an index that pandas wrote, without a name, and that puts the rows in another order.

    Only an index of all rows from 0 numbers the rows of this file; that of a part of a table has gaps.
    """
    for name, cells in columns:
        numbers = [int(cell) for cell in cells if cell.strip().isdecimal()]
        if INDEX.fullmatch(name.strip()) and numbers != sorted(numbers) == list(range(len(cells))):
            return (
                f"{path}: the first column numbers the rows in another order, such as {cells[0]!r} in the "
                "first row, and isn't read: call it 'id' in both files if rows are to be joined by it"
            )
    return ""
