"""Lists that were saved as text, in JSON or as Python, pandas and NumPy print them.

    ["a", "b"]    ['a', 'b']    ('a', 'b')    {'a', 'b'}
    ['a' 'b']    [0. 1. 0.]    array(['a', 'b'], dtype=object)    [np.str_('a')]

Python's own parser is not used: it would join 'a' 'b', which NumPy prints for two strings, into one.
"""

import ast
import re
from typing import Any

import polars as pl

from xmcpipe.json_file import parse_json

LOOKS_LIKE_A_LIST = r"(?s)^\s*(?:(?:array|frozenset)\()?[\[({].*[\])}]\s*$|^\s*(?:set|frozenset)\(\)\s*$"
ARRAY = re.compile(r"(?:array|frozenset)\((.*?)(?:,\s*dtype=[\w.'<>]+)?\)", re.DOTALL)
ITEM = re.compile(
    r"""\s*(?:np\.\w+\()?                                   # NumPy 2 prints np.str_('a')
        (?: [uU]? (?P<quoted> '(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" )
          | (?P<bare> [^\s,'"\[\](){}]+ ) )
        \)? \s* (?P<comma> ,? )""",
    re.VERBOSE | re.DOTALL,
)
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
WORDS = {"True": "true", "False": "false", "None": None, "nan": None, "null": None}
CHOICES_KEY = "choices"
ENDS = {"[": "]", "(": ")", "{": "}"}


def parse_lists(values: pl.Series) -> tuple[pl.Series, str | None]:
    """The lists in n texts, list<string> [n]; and a text that is no list, or None if all are.

    A null or blank text is a null list.
    """
    texts = values.unique(maintain_order=True).drop_nulls()
    read = {text: parse_list(text) for text in texts if text.strip()}
    lists = [read.get(text) for text in values]
    fault = next((text for text, items in read.items() if items is None), None)
    return pl.Series(values.name, lists, pl.List(pl.String)), fault


def without_choices(value: Any) -> Any:
    """The list in `{"choices": [...]}`, as Label Studio writes several labels; any other value as it is."""
    if isinstance(value, dict) and value.keys() == {CHOICES_KEY} and isinstance(value[CHOICES_KEY], list):
        return value[CHOICES_KEY]
    return value


def parse_list(text: str) -> list[str | None] | None:
    """The items of a list as strings, or None if the text is not a list of strings, numbers and booleans."""
    text = text.strip()
    try:
        value = parse_json(text)
    except ValueError:
        return _printed_list(text)
    value = without_choices(value)
    if not isinstance(value, list):
        return None
    try:
        return [item_text(item) for item in value]
    except TypeError:
        return None


def item_text(item: Any) -> str | None:
    """An item of a JSON list as a string: its `uri` if it is an object with one (as Annif writes subjects).

    Raises TypeError for any other object and for a list.
    """
    if isinstance(item, dict) and isinstance(item.get("uri"), str):
        item = item["uri"]
    if item is None or isinstance(item, str):
        # JSON can express a lone surrogate, which UTF-8 can't: replace it.
        return item if item is None else item.encode("utf-8", "replace").decode()
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, (int, float)):
        return None if item != item else number_text(item)  # NaN is a missing value
    raise TypeError(type(item))


def number_text(number: float) -> str:
    """A number as a string; a whole float has no ".0": a missing value turns whole numbers into floats."""
    if isinstance(number, float) and number.is_integer() and abs(number) < 2**53:
        return str(int(number))
    return str(number)


def _printed_list(text: str) -> list[str | None] | None:
    """The items of a list as Python or NumPy print it; None if it is none, or if NumPy left items out."""
    if text in ("set()", "frozenset()"):
        return []
    if found := ARRAY.fullmatch(text):
        text = found[1]
    if len(text) < 2 or text[-1] != ENDS.get(text[0]):
        return None
    body, items, commas = text[1:-1], [], []
    place = 0
    while body[place:].strip():
        found = ITEM.match(body, place)
        if found is None:
            return None
        item = _printed_item(found)
        if item is None:
            return None
        items += item
        commas.append(bool(found["comma"]))
        place = found.end()
    # Commas between all items (after the last one too, in a tuple of one), or between none (NumPy).
    between = commas[:-1]
    return items if all(between) or not any(commas) else None


def _printed_item(found: "re.Match[str]") -> list[str | None] | None:
    """The item in a list of one; None if it is an unquoted word."""
    if found["quoted"]:
        return [str(ast.literal_eval(found["quoted"])).encode("utf-8", "replace").decode()]
    bare = found["bare"]
    if bare in WORDS:
        return [WORDS[bare]]
    if not NUMBER.fullmatch(bare):
        return None
    return [bare if re.fullmatch(r"-?\d+", bare) else number_text(float(bare))]
