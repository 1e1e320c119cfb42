"""Reads a cell that holds a list, as JSON, Python, pandas, NumPy or torch print it.

    ["a", "b"]  ['a', 'b']  ('a', 'b')  {'a', 'b'}  frozenset({'a'})  [('a', 0.9)]  {'a': 0.9}
    [3 5]  ['a' 'b']  array([3, 5], dtype=int64)  [np.int64(3), np.str_('a')]  tensor([0.9, 0.5])

What the printer left out (`...`) can't be read. A set has no order, so it can't be a ranking.
"""

import ast
import re
from typing import Any

from xmcpipe.data.label_lists.label_names import shown
from xmcpipe.errors import XmcpipeError
from xmcpipe.json_file import parse_json

CALLED = r"[\w.]+\((?:<[^<>]*>,\s*)?"  # array(, Counter(, defaultdict(<class 'float'>,
EMPTY = r"(?:set|frozenset|list|tuple|dict|Counter|OrderedDict)\(\)"
LIST = re.compile(rf"(?s)\s*(?:{CALLED})?\s*[\[({{].*[\])}}]\s*|\s*{EMPTY}\s*")
CALL = re.compile(
    r"(?s)([\w.]+)\((?:<[^<>]*>,\s*)?([\[({].*?|)(?:,\s*(?:dtype|device|grad_fn|requires_grad|name|length)=.*)?\)"
)
QUOTED = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
SCALAR = re.compile(rf"\b(?:np|numpy)\.\w+\(\s*({QUOTED}|[^()'\"]*)\s*\)")  # np.int64(3)
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
NUMBERS_WITHOUT_COMMA = re.compile(rf"\[\s*(?:{NUMBER}\s+)*{NUMBER}\s*\]")
STRINGS_WITHOUT_COMMA = re.compile(r"""'\s+'|"\s+\"|'\s+"|"\s+'""")
LEFT_OUT = re.compile(r"\.\.\.|…")
SETS = ("set", "frozenset")


def read_list(source: str, row: int, cell: str, ranked: bool) -> list[Any]:
    """The items of a list saved as text; those of a dict are pairs. Raises XmcpipeError for other text.

    With `ranked`, sets are refused.
    """
    text, unordered = _plain(cell)
    value = _value(text)
    unordered = unordered or isinstance(value, set)
    if unordered and ranked and value:
        raise XmcpipeError(
            f"{source}, row {row}: expected a list of labels, best first, got a set: {shown(cell)}",
            'a set has no order: write a list, ["a", "b"]',
        )
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, list | tuple | set) and not any(item is ... for item in value):
        return [item for item in value if item is not None and item == item]  # NaN is a missing value
    way_out = 'write each row as a JSON list: ["a", "b"]'
    if LEFT_OUT.search(re.sub(QUOTED, "", text)):
        way_out = "items were left out when it was printed: write a list, array.tolist()"
    raise XmcpipeError(f"{source}, row {row}: expected a list of labels, got {shown(cell)}", way_out)


def plain_numbers(cell: str) -> str:
    """A cell of scores without what NumPy and torch print around the numbers: commas and blanks remain."""
    return _plain(cell)[0].strip(" \t\r\n[](){}")


def _plain(cell: str) -> tuple[str, bool]:
    """The cell without the calls around a list and its items, and whether it was called a set."""
    text, unordered = cell.strip(), False
    if "(" not in text:  # most cells: the searches below would take longer than all else
        return text, unordered
    while found := CALL.fullmatch(text):
        unordered = unordered or found[1].rpartition(".")[2] in SETS
        text = found[2].strip() or "[]"
    return SCALAR.sub(r"\1", text), unordered


def _value(text: str) -> Any:
    """The value that the text stands for; None if it is none."""
    if "," not in text and NUMBERS_WITHOUT_COMMA.fullmatch(text):
        words = text.strip("[ \t\r\n]").split()
        return [float(word) if re.search("[.eE]", word) else int(word) for word in words]
    try:
        return parse_json(text)
    except ValueError:
        pass
    if not STRINGS_WITHOUT_COMMA.search(text):  # Python's parser would join them into one
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            pass
    return _printed(text)


def _printed(text: str) -> list[Any] | None:
    """The items of a list without commas, or with nan in it; None if it is another text."""
    from xmcpipe.data.tables.labels.list_text import parse_list

    items = parse_list(text)
    if items is None or re.search("['\"]", text):
        return items
    numbers = [item for item in items if item is not None]
    return [int(item) if re.fullmatch(r"-?\d+", item) else item for item in numbers]
