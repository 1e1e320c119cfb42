"""Lists as R, Postgres, Julia and Python's collections print them, and prints that can't be read for sure.

    c("a", "b")  list("a")  character(0)           R; a vector of one string is printed without c()
    {a,"b c"}  {}                                  Postgres, which puts quotes around blanks and commas
    Any["a", "b"]  String["a"]                     Julia
    deque(['a'])  dict_keys(['a'])  Index(['a'], dtype='object')

Spark, Scala and Java print `List(a, b)` and `[a, b]`: a label with a comma in it would look like two. So
these are refused, and so are objects, and what a table's print leaves of a list.
"""

import logging
import re
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from xmcpipe.data.tables.labels.list_text import parse_list
from xmcpipe.data.tables.selection import row_error
from xmcpipe.errors import XmcpipeError

logger = logging.getLogger(__name__)

QUOTED = r'"(?:[^"\\]|\\.)*"'
R_ITEM = rf"(?:{QUOTED}|NA|-?[0-9.]+L?)"
R_LIST = re.compile(rf"(?:c|list)\(\s*{R_ITEM}(?:\s*,\s*{R_ITEM})*\s*\)", re.DOTALL)
R_EMPTY = ("character(0)", "list()", "NULL")
# Others than Postgres write {a;b}.
SQL_ITEM = rf"(?:{QUOTED}|[^\s\"'{{}},\\:=;|\uff1b\u3001\u2022]+)"
POSTGRES = re.compile(rf"\{{(?:{SQL_ITEM}(?:,{SQL_ITEM})*)?\}}", re.DOTALL)
JULIA = re.compile(r"[A-Z]\w*(?:\{[^{}\[\]]*\})?(\[.*\])", re.DOTALL)
CALLED = r"(?:\w+\.)*(?:deque|dict_keys|dict_values|Index|list|tuple|set)"
CALL = re.compile(rf"{CALLED}\(([\[({{].*[\])}}])(?:,\s*\w+=[^()]*)*\)", re.DOTALL)
ITEMS = re.compile(rf"\s*{QUOTED}|[^,]+", re.DOTALL)
# How a cell of these kinds begins: most columns have none.
BEGINS = rf"^\s*(?:c\(|list\(|character\(0\)|\{{|[A-Z]\w*[\[{{(]|{CALLED}\()"
# What Scala, Spark, Java, Python, R and Ruby call a collection.
NAMES = (
    r"(?:\w+\.)*(?:WrappedArray|ArraySeq|ArrayBuffer|ListBuffer|Array|List|Vector|Seq|Set|HashSet|Stream|Map"
    r"|HashMap|LinkedHashMap|LinkedHashSet|OrderedDict|Counter|defaultdict|dict|dict_items|dict_keys"
    r"|dict_values|deque|Index|Series|array|tensor|frozenset|set|tuple|list|c|Any|String|%[wWiI])"
)
NAMED = re.compile(rf"{NAMES}\s*([\[({{].*[\])}}])", re.DOTALL)
OTHERS = re.compile(
    r"a:\d+:\{.*\}"  # PHP
    r"|shape: \(\d+.*\].*"  # polars
    r"|.*\ndtype: \w+.*",  # a Series of pandas
    re.DOTALL,
)
PAIRS = {"(": ")", "[": "]", "{": "}"}


class PrintReader:
    """Reads a column of text as prints of lists, batch by batch, if its first cells are such prints."""

    def __init__(self, path: Path, column: str) -> None:
        self._path, self._column = path, column
        self._prints: bool | None = None
        self._seen = False

    def read(self, strings: pl.Series, first_row: int) -> pl.Series | None:
        """The lists in n cells, list<string> [n]; None if the column is other text.

        Raises XmcpipeError for other text in a column of prints; `first_row` is from 0.
        """
        filled = strings.filter(strings.str.strip_chars() != "")
        if self._prints is False or filled.is_empty():
            return None
        lists = printed_lists(strings)
        if lists is None and self._prints:
            other = next(cell for cell in filled if printed_lists(pl.Series([cell])) is None)
            raise no_list(self._path, self._column, strings, other, first_row)
        if lists is not None and not self._prints:
            message = "%s: column %r holds lists as a program printed them, such as %s"
            logger.info(message, self._path, self._column, filled[0][:60])
        self._prints = lists is not None
        return lists

    def require_none(self, strings: pl.Series) -> None:
        """Raise XmcpipeError if the first cells are all prints of a collection that can't be read surely."""
        if self._seen or not (strings.str.strip_chars() != "").any():
            return
        self._seen = True
        if (printed := unread_print(strings)) is not None:
            raise XmcpipeError(
                f"{self._path}: expected labels in column {self._column!r}, got in all rows a collection as "
                f"a program prints it, such as {printed[:60]!r}",
                'write lists as JSON: ["a", "b"] (Spark: to_json, R: jsonlite::toJSON, Python: json.dumps), '
                "or set --label-separator none if each is one label",
            )


def no_list(path: Path, column: str, strings: pl.Series, fault: str, first_row: int) -> XmcpipeError:
    """The error for a text, `fault`, that should be a list."""
    return row_error(
        path,
        f"row {first_row + int((strings == fault).arg_max() or 0) + 1}",
        f"expected a list as text in {column!r}, such as ['a', 'b'], got {fault[:80]!r}",
        "write it as JSON, or as labels with a separator between them and set label_separator",
    )


def printed_lists(strings: pl.Series) -> pl.Series | None:
    """The lists in n cells, list<string> [n], if all are prints of R, Postgres, Julia or Python; else None.

    A blank cell is an empty list. Where R printed some lists, other cells have one string each.
    """
    if not strings.str.contains(BEGINS).any():
        return None
    cells = {cell: cell.strip() for cell in strings.unique(maintain_order=True) if cell.strip()}
    # Julia names the type of some lists only. What is a list anyway, such as {np.int64(3)}, is no print.
    read = {cell: parse_list(text) for cell, text in cells.items()}
    prints = {cell: printed_items(cells[cell]) for cell, items in read.items() if items is None}
    if not any(items is not None for items in prints.values()):
        return None
    read |= prints
    others = [text for cell, text in cells.items() if read[cell] is None]
    if others and not any(map(R_LIST.fullmatch, cells.values())):
        return None
    if any(_is_structure(text) or ";" in text for text in others):
        return None
    lists = {cell: [cell] if items is None else items for cell, items in read.items()}
    return pl.Series(strings.name, [lists.get(cell, []) for cell in strings], pl.List(pl.String))


def unread_print(strings: Iterable[str]) -> str | None:
    """One of the cells, if all that aren't blank are prints of a collection; None if one isn't.

    One of them must hold more than a word: `(unknown)` and `list(int)` may be names.
    """
    filled = []
    for cell in filter(None, map(str.strip, strings)):
        if not _is_structure(cell):
            return None
        filled.append(cell)
    return next(filter(_holds_several, filled), None)


def _holds_several(text: str) -> bool:
    inside = text[1:-1]
    return bool(re.search("[,:;|'\"]", inside)) or (text[0] in "[%" and " " in inside.strip())


def printed_items(text: str) -> list[str | None] | None:
    """The items of a print by R, Postgres, Julia or Python's collections; None if it is none of these."""
    text = text.strip()
    if text in R_EMPTY:
        return []
    if R_LIST.fullmatch(text):
        return [_item(part, "NA") for part in ITEMS.findall(text[text.index("(") + 1 : -1])]
    if POSTGRES.fullmatch(text):
        return [_item(part, "NULL") for part in ITEMS.findall(text[1:-1])]
    if found := JULIA.fullmatch(text) or CALL.fullmatch(text):
        return parse_list(found[1])
    return None


def _item(part: str, null: str) -> str | None:
    part = part.strip()
    if part.startswith('"'):
        return re.sub(r"\\(.)", r"\1", part[1:-1])
    if re.fullmatch("-?[0-9]+L", part):  # a whole number of R
        return part[:-1]
    return None if part == null else part


def _is_structure(text: str) -> bool:
    """Whether a text is a collection as a program prints it, from its first character to its last."""
    if OTHERS.fullmatch(text):
        return True
    found = NAMED.fullmatch(text)
    return _encloses(found[1] if found else text)


def _encloses(text: str) -> bool:
    """Whether the bracket at the beginning of a text closes at its end."""
    if len(text) < 2 or text[-1] != PAIRS.get(text[0]):
        return False
    depth = 0
    for letter in re.sub(QUOTED, "", text[1:-1]):
        depth += (letter in PAIRS) - (letter in PAIRS.values())
        if depth < 0:
            return False
    return depth == 0
