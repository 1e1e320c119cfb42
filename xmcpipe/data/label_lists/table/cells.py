"""Reads the cells of a table of text: lists saved as text, ids or names between separators, and scores.

Labels may carry their scores, `a:0.9 b:0.5`. Scores may have a decimal comma, where the counts of labels show
that it is none between two scores.
"""

import logging
import re
from dataclasses import dataclass, replace
from typing import Any

from xmcpipe.data.label_lists.label_names import shown
from xmcpipe.data.label_lists.table.list_cells import LIST, NUMBER, plain_numbers, read_list
from xmcpipe.data.label_lists.table.printed_cells import printed_cells, require_no_print
from xmcpipe.errors import XmcpipeError
from xmcpipe.json_file import parse_json

logger = logging.getLogger(__name__)

ID = r"-?\d+(?:\.0)?"  # pandas writes 3.0 in a column with missing values
IDS = re.compile(rf"\s*{ID}(?:\s*[,;|\s]\s*{ID})*\s*")
LEADING_ZERO = re.compile(r"(?<![\d.])0\d")
MISSING = ("nan", "NaN", "<NA>")  # as pandas prints a missing value
SEPARATORS = (";", "|", ",", "\t", "\n")
BETWEEN = re.compile(r"[,;|\s]+")
BETWEEN_DECIMALS = re.compile(r"[;|\s]+|,\s+")
DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+(?:[eE][-+]?\d+)?|[-+]?\d+")
PAIR = re.compile(rf"(.*?[^:\s])\s*::?\s*({NUMBER})", re.DOTALL)
QUOTED = re.compile(r'\s*".*"\s*', re.DOTALL)
JSON_LIST = 'write each row as a JSON list: ["a", "b"]'


@dataclass(frozen=True)
class Cells:
    """The labels of N cells, their scores if the cells hold them, and how they were read.

    `note` is a sentence, or "" if they can be read in one way only. `untyped`: text of whole numbers only.
    """

    labels: list[list[Any]]
    scores: list[list[float]] | None = None
    note: str = ""
    untyped: bool = False


# Long: each form of cells is asked after the other.
def read_cells(source: str, cells: list[str], ranked: bool) -> Cells:
    """Read the cells of a column of labels; with `ranked`, a set is refused, because it has no order.

    Raises XmcpipeError, with the row, for a cell of no known form.
    """
    missing = next((cell for cell in cells if cell.strip() in MISSING), None)
    if missing is not None:
        cells = ["" if cell.strip() in MISSING else cell for cell in cells]
        found = read_cells(source, cells, ranked)
        note = f"{source}: a cell with {missing.strip()!r} is read as one without labels"
        return replace(found, note=f"{found.note}; {note}" if found.note else note)
    filled = [cell for cell in cells if cell.strip()]
    if filled and all(map(QUOTED.fullmatch, filled)):
        decoded = [_decoded(cell) if cell.strip() else cell for cell in cells]
        if decoded != cells:
            return read_cells(source, decoded, ranked)
    if (printed := printed_cells(cells)) is not None:
        return Cells(printed)
    lists = [bool(LIST.fullmatch(cell)) for cell in filled]
    if any(lists):
        others = [row for row, cell in enumerate(cells) if cell.strip() and not LIST.fullmatch(cell)]
        if not others:
            return _of_lists(source, cells, ranked)
        if 2 * sum(lists) > len(filled):
            raise XmcpipeError(
                f"{source}, row {others[0]}: expected a list as text, as in most rows, got "
                f"{shown(cells[others[0]])}",
                JSON_LIST,
            )
    if filled and all(map(IDS.fullmatch, filled)):
        if not any(map(LEADING_ZERO.search, filled)):
            ids = [[int(word.partition(".")[0]) for word in re.findall(ID, cell)] for cell in cells]
            return Cells(ids, untyped=True)
        return Cells([[word for word in BETWEEN.split(cell.strip()) if word] for cell in cells])
    require_no_print(source, filled)
    return _of_names(source, cells, filled)


def _decoded(cell: str) -> str:
    """The text in a cell that was written as JSON once more; the cell itself if it is none."""
    try:
        text = parse_json(cell)
    except ValueError:
        return cell
    return text if isinstance(text, str) else cell


def read_single(source: str, cells: list[str], layouts: str) -> Cells:
    """Read cells that hold one label each, because documents have several rows; a blank cell holds none.

    A name may hold a comma. Raises XmcpipeError for lists, several ids, and other separators.
    """
    filled = [cell.strip() for cell in cells if cell.strip()]
    several = [cell for cell in filled if LIST.fullmatch(cell) or re.search(r"[;|\t]", cell)]
    several += [cell for cell in filled if IDS.fullmatch(cell) and len(re.findall(ID, cell)) > 1]
    if several:
        raise XmcpipeError(
            f"{source}, row {cells.index(next(cell for cell in cells if cell.strip() == several[0]))}: "
            f"expected one label, since documents have several rows, got {shown(several[0])}",
            layouts,
        )
    if filled and all(map(IDS.fullmatch, filled)) and not any(map(LEADING_ZERO.search, filled)):
        ids = [[int(cell.strip().partition(".")[0])] if cell.strip() else [] for cell in cells]
        return Cells(ids, untyped=True)
    return Cells([[cell.strip()] if cell.strip() else [] for cell in cells])


def read_scores(source: str, cells: list[str], lengths: list[int]) -> tuple[list[list[float]], str]:
    """Read the cells of a column of scores: numbers between separators or in a list; and a note.

    `lengths` are the numbers of labels: where `0,9` can be two numbers or one, they decide.
    """
    texts = list(map(plain_numbers, cells))
    words = [[word for word in BETWEEN.split(text) if word] for text in texts]
    if [len(row) for row in words] != lengths:
        decimals = [[word for word in BETWEEN_DECIMALS.split(text) if word] for text in texts]
        fits = [len(row) for row in decimals] == lengths
        if fits and all(DECIMAL_COMMA.fullmatch(word) for row in decimals for word in row):
            example = next(word for row in decimals for word in row if "," in word)
            note = f"{source}: scores have a decimal comma: {example!r} is read as {_point(example)}"
            return [[float(_point(word)) for word in row] for row in decimals], note
    rows = []
    for row, found in enumerate(words):
        try:
            rows.append([float(word) for word in found])
        except ValueError as error:
            raise XmcpipeError(
                f"{source}, row {row}: expected numbers as scores, got {shown(cells[row])}",
                "write [0.9, 0.1]",
            ) from error
    return rows, ""


def _point(word: str) -> str:
    return word.replace(",", ".")


def _of_lists(source: str, cells: list[str], ranked: bool) -> Cells:
    """Cells that are all lists, or blank."""
    lists = [read_list(source, row, cell, ranked) if cell.strip() else [] for row, cell in enumerate(cells)]
    example: Any = next((items[0] for items in lists if items), None)
    if isinstance(example, dict) and example.keys() >= {"label", "score"}:
        lists = [[(item.get("label"), item.get("score")) for item in items] for items in lists]
    elif not isinstance(example, tuple | list):
        return Cells(_whole(lists))
    if all(len(items) <= 1 and _is_nested(items) for items in lists):
        raise XmcpipeError(
            f"{source}: expected a list of labels, got a list in a list, such as {shown(str([example]))}",
            JSON_LIST,
        )
    try:
        pairs = [[(label, float(score)) for label, score in items] for items in lists]
    except (TypeError, ValueError) as error:
        raise XmcpipeError(f"{source}: {error}", "write pairs (label, score) in every row") from error
    labels = _whole([[label for label, _ in row] for row in pairs])
    return Cells(labels, [[score for _, score in row] for row in pairs])


def _is_nested(items: list[Any]) -> bool:
    """Whether the only item is a list that is no label with its score, or there is no item."""
    return not items or len(items[0]) != 2 or not isinstance(items[0][1], float)


def _whole(lists: list[list[Any]]) -> list[list[Any]]:
    """The lists; numbers that are all whole are integers, 3.0 too."""
    items = [item for row in lists for item in row]
    if any(isinstance(item, float) for item in items) and all(
        isinstance(item, int | float) and item == item // 1 for item in items
    ):
        return [list(map(int, row)) for row in lists]
    return lists


def _of_names(source: str, cells: list[str], filled: list[str]) -> Cells:
    """Cells of names between separators, perhaps with scores."""
    present = [separator for separator in SEPARATORS if any(separator in cell for cell in filled)]
    scored = _scored(source, cells, present)
    if scored is not None:
        return scored
    if len(present) > 1:
        example = next(cell for cell in filled if present[0] in cell or present[1] in cell)
        raise XmcpipeError(
            f"{source}: expected labels with one separator, got {' and '.join(map(repr, present))}, as in "
            f"{shown(example)}",
            JSON_LIST,
        )
    if not present:
        whole = [[cell.strip()] if cell.strip() else [] for cell in cells]
        return Cells(whole, note=_doubt_about_blanks(source, filled))
    split = [[part.strip() for part in cell.split(present[0]) if part.strip()] for cell in cells]
    example = next(cell for cell in filled if present[0] in cell)
    if present[0] != ",":  # a comma may be part of a name
        logger.info("%s: labels are separated by %r, as in %s", source, present[0], shown(example))
        return Cells(split)
    return Cells(split, note=f"{source}: labels are separated by {present[0]!r}, as in {shown(example)}")


def _doubt_about_blanks(source: str, filled: list[str]) -> str:
    """A sentence if blanks seem to separate labels: words of several cells are whole cells elsewhere."""
    known = {cell.strip() for cell in filled}
    several = {cell: cell.split() for cell in known if len(cell.split()) > 1}
    again = [cell for cell, words in several.items() if known.intersection(words)]
    if not several or 2 * len(again) < len(several):
        return ""
    return (
        f"{source}: no separator was found, so that a cell is one label, such as {shown(min(again))}; if it "
        "holds several, write a ; between them"
    )


def _are_scores(rows: list[list[re.Match[str] | None]]) -> bool:
    """Whether pairs `label:number` are labels with scores, and not names such as GO:0008150."""
    names = [[pair[1].strip() for pair in row if pair] for row in rows]
    numbers = [pair[2] for row in rows for pair in row if pair]
    if any(len(set(row)) < len(row) for row in names) or any(map(LEADING_ZERO.match, numbers)):
        return False
    plain = all(re.fullmatch(r"\d+", number) for number in numbers)
    return not plain or set(numbers) <= {"0", "1"} or all(name.isdigit() for row in names for name in row)


def _scored(source: str, cells: list[str], present: list[str]) -> Cells | None:
    """Labels with their scores, `a:0.9;b:0.5` or `a:0.9 b:0.5`; None for other cells."""
    for separator in [*map(re.escape, present), r"\s+", *([] if present else [r"\n"])]:
        between = re.compile(separator)
        rows = [[part.strip() for part in between.split(cell) if part.strip()] for cell in cells]
        found = [[PAIR.fullmatch(part) for part in row] for row in rows]
        if any(found) and all(pair is not None for row in found for pair in row) and _are_scores(found):
            break
    else:
        return None
    labels: list[list[Any]] = [[pair[1].strip() for pair in row if pair] for row in found]
    scores = [[float(pair[2]) for pair in row if pair] for row in found]
    example = shown(next(cell for cell in cells if cell.strip()))
    note = f"{source}: the number after each label is its score, as in {example}"
    whole = all(re.fullmatch(ID, label) and not LEADING_ZERO.search(label) for row in labels for label in row)
    if whole:
        labels = [[int(label.partition(".")[0]) for label in row] for row in labels]
    return replace(Cells(labels, scores, note), untyped=whole)
