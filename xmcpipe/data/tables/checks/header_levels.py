"""Finds rows below the header of CSV or TSV that belong to it, and would be read as documents.

    ,doc,ann          col,text,labels    text,labels          Q1,Q2
    ,text,labels      how,first,first    first,first          Which topics?,Any comment?
    0,a note,art      id,,               a note,art           {"ImportId":"QID1"},{"ImportId":"QID2"}
                      7,a note,art                            a note,art

The first three are what pandas writes of columns with two levels (a MultiIndex), with an index or without
one; surveys have the last. Nothing here loads polars.
"""

import logging
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from xmcpipe.data.tables.checks.headers import LABELS, TEXTS
from xmcpipe.data.tables.selection import row_error

logger = logging.getLogger(__name__)

LOOKED_AT = 12  # rows
MOST_LEVELS = 5  # rows of a header
LONGEST_WORD = 20
IDS = ("id", "ids", "doc_id", "document_id", "docid", "index", "uid", "uuid", "key")
# How pandas calls what it made of a group of rows.
AGGREGATES = {
    *("first", "last", "list", "set", "unique", "nunique", "count", "size", "join", "sum", "mean", "median"),
    *("min", "max", "std", "<lambda>", "<lambda_0>", "<lambda_1>", "agg_list"),
}
SURVEY = '{"importid":'  # of Qualtrics, in lower case
RESPONSES = {"", "response", "open-ended response"}  # of SurveyMonkey
WAY_OUT = "write the table with a single header line (pandas: table.columns = [...])"


def require_one_header(path: Path, rows: Iterator[tuple[int, list[str]]], first_line: int = 1) -> None:
    """Raise XmcpipeError for rows below the header that surely are a part of it, and warn of a blank one.

    `rows` are those of the file, the header too, with lines counted from 1; `first_line` is the number
    of the first line in the file.
    """
    table = [(line, [cell.strip() for cell in row]) for line, row in islice(rows, LOOKED_AT) if row]
    if len(table) < 2:
        return
    cells = [row for _, row in table]
    last = _levels(cells)
    if last:
        lines = [line + first_line - 1 for line, _ in table[1 : last + 1]]
        place = f"line {lines[0]}" if last == 1 else f"lines {lines[0]} to {lines[-1]}"
        shown = ", ".join(repr(cell[:30]) for cell in cells[last][:4])
        remove = f"remove {place}"
        raise row_error(
            path,
            f"line {lines[-1]}",
            f"expected a row of the table, got a row more of the header: {shown}",
            remove if _is_survey(cells[last]) else f"{remove}, or {WAY_OUT}",
        )
    if len(cells) > 2 and len(cells[0]) > 1 and not any(cells[1]) and all(map(any, cells[2:])):
        message = (
            "warning: %s: line %d, below the header, has only blank values: is it a part of the header (a "
        )
        message += "MultiIndex of pandas)? It is read as a row of the table"
        logger.warning(message, path, table[1][0] + first_line - 1)


def _levels(cells: list[list[str]]) -> int:
    """The number of the last of the first rows, from 0, that belongs to the header; 0 if only the first does.

    `cells` are the first rows; each has a row of the table below it.
    """
    rows = range(1, min(MOST_LEVELS, len(cells) - 1))
    survey = [row for row in rows if _is_survey(cells[row])]
    if survey:
        return survey[-1]
    below = [row for row in rows if _names_index(cells, row)]
    if below:
        return below[-1]
    if not cells[0][0]:
        last = 0
        for row in rows:
            if cells[row][0] or not any(cells[row]):
                break
            last = row
        if last and all(row[0] for row in cells[last + 1 :]):
            return last
    filled = [cell.lower() for cell in cells[1] if cell]
    again = any(cell.lower() in filled for row in cells[2:] for cell in row)
    # Where all texts are words, these are words too.
    phrases = any(" " in cell or len(cell) > LONGEST_WORD for row in cells[2:] for cell in row)
    if len(filled) > 1 and phrases and not again and (set(filled) <= AGGREGATES or _are_names(filled)):
        return 1
    return 0


def _is_survey(row: list[str]) -> bool:
    """Whether a row is one of those that surveys write below the names of their questions."""
    filled = [cell.lower() for cell in row if cell]
    marked = sum(cell.replace(" ", "").startswith(SURVEY) for cell in filled)
    return 2 * marked > len(filled) or (len(filled) > 1 and set(filled) <= RESPONSES)


def _names_index(cells: list[list[str]], row: int) -> bool:
    """Whether a row has a name in its first place alone, and the rows below have other ids there."""
    name, *others = cells[row]
    below = [each[0] for each in cells[row + 1 :] if any(each[1:])]
    if not name or any(others) or not others or not below or name.isdigit():
        return False
    return all(below) and (all(map(str.isdigit, below)) or name.lower() in IDS)


def _are_names(filled: list[str]) -> bool:
    """Whether cells are names of columns, one of texts and one of labels among them."""
    names = set(filled)
    return names <= {*TEXTS, *LABELS, *IDS} and bool(names & {*TEXTS}) and bool(names & {*LABELS})
