"""Reads JSON lines in blocks: with a fast parser, and with a slow one if the fast one fails.

polars parses a block of whole lines at once, but its errors don't name the line. If it fails, Python's parser
therefore reads the block line by line: it finds the faulty line, or reads what polars could not. Also, polars
silently returns the JSON text of an object where a string is expected. Lines that look like this are parsed
again by Python, which refuses them.
"""

import io
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from xmcpipe.data.tables.json_blocks import JsonPlace, json_blocks
from xmcpipe.data.tables.json_shapes import (
    RECORDS,
    way_out_of,
    way_out_of_label,
    way_out_of_labels,
    way_out_of_line,
)
from xmcpipe.data.tables.labels.list_text import item_text, parse_list, without_choices
from xmcpipe.data.tables.labels.printed import printed_items
from xmcpipe.data.tables.selection import Selection
from xmcpipe.errors import XmcpipeError
from xmcpipe.json_file import distinct_keys, parse_json

Schema = dict[str, pl.DataType]
TEXT_OF_LABELS = (
    "set label_separator (--label-separator) to the text between two labels, or to none if each row has one "
    "label"
)


def read_jsonl(path: Path, selection: Selection, encoding: str) -> Iterator[pl.DataFrame]:
    """Yield the selected columns of a JSON file, about 8 million characters at a time.

    The file has an object on each line, or is one array of objects. A list may be saved as text, and its
    items may be objects with a `uri`.

    Columns are list<string> for `selection.lists`, list<int64> for `selection.whole_numbers`, and string
    otherwise; a value is null if its line lacks the key. Raises XmcpipeError, with file and line, for broken
    JSON, a value of a wrong type and bytes that aren't valid in `encoding`.
    """
    present: tuple[str, ...] | None = None  # the columns that the file has, as its first rows show
    place, blocks = json_blocks(path, encoding)
    for line, block in blocks:
        rows = _parse(block, selection, place, line)
        if present is None and not rows.is_empty():
            present = _present_columns(block, rows, selection, path)
        yield rows.select(present or selection.required)


def _parse(block: str, selection: Selection, place: JsonPlace, first_line: int) -> pl.DataFrame:
    """The rows of a block, with all selected columns; `first_line` is the number of its first line."""
    schema: Schema = {name: _type(name, selection) for name in selection.all_names}
    try:
        rows = pl.read_ndjson(io.BytesIO(block.encode()), schema=schema)
    except (pl.exceptions.PolarsError, UnicodeEncodeError):
        return _read_by_line(enumerate(block.split("\n"), first_line), selection, schema, place)
    _require_distinct(
        block, len(rows), [each for each in schema if each not in selection.watched], place, first_line
    )
    # polars returns a nested value as its JSON text, so a line with a value that looks like JSON is suspect.
    # Python's parser refuses a nested value, except for a subject; a real string that looks like JSON passes.
    strings = [name for name in schema if name not in (*selection.whole_numbers, *selection.watched)]
    nested = rows.select(_looks_nested(name, name in selection.lists).alias(name) for name in strings)
    suspects = set(nested.select(pl.any_horizontal(pl.all())).to_series().arg_true())
    if suspects:
        lines = [pair for pair in enumerate(block.split("\n"), first_line) if pair[1].strip()]
        chosen = [pair for row, pair in enumerate(lines) if row in suspects]
        read = _read_by_line(chosen, selection, schema, place)
        changed = [name for name in schema if name in selection.lists and nested[name].any()]
        rows = rows.with_columns(_replaced(rows[name], suspects, read[name]) for name in changed)
    return rows


def _require_distinct(block: str, rows: int, names: list[str], place: JsonPlace, first_line: int) -> None:
    """Raise XmcpipeError for an object that has a key twice: polars takes the first value, Python the last.

    Only lines that hold a key twice are parsed, in a block that holds it more often than it has rows.
    """
    often = [f'"{name}"' for name in names if block.count(f'"{name}"') > rows]
    if not often:
        return
    for number, line in enumerate(block.split("\n"), first_line):
        if any(line.count(name) > 1 for name in often):
            _parse_line(line, place, number)


def _parse_line(line: str, place: JsonPlace, number: int) -> Any:
    try:
        return parse_json(line, distinct_keys)
    except ValueError as error:
        raise place.error(number, f"invalid JSON: {error}", way_out_of_line(line)) from error


def _replaced(column: pl.Series, places: set[int], values: pl.Series) -> pl.Series:
    """A column of lists of strings with those at the `places` replaced, in ascending order, by `values`."""
    lists = column.to_list()
    for place, value in zip(sorted(places), values.to_list(), strict=True):
        lists[place] = value
    # pyarrow makes lists of Python's far faster than polars does.
    replaced = pl.from_arrow(pa.array(lists, pa.large_list(pa.large_string())))
    assert isinstance(replaced, pl.Series)
    return replaced.alias(column.name)


def _type(name: str, selection: Selection) -> pl.DataType:
    if name in selection.whole_numbers:
        return pl.List(pl.Int64())
    return pl.List(pl.String()) if name in selection.lists else pl.String()


def _looks_nested(name: str, is_list: bool) -> pl.Expr:
    """Whether a string of the column, or an element of its lists, has brackets or braces around it."""
    pattern = r"(?s)^[\[{].*[\]}]$"
    if is_list:
        return pl.col(name).list.eval(pl.element().str.contains(pattern)).list.any().fill_null(False)
    return pl.col(name).str.contains(pattern).fill_null(False)


def _read_by_line(
    lines: Iterable[tuple[int, str]], selection: Selection, schema: Schema, place: JsonPlace
) -> pl.DataFrame:
    """The values of the columns in `schema` for each (number, line); blank lines are skipped."""
    rows: list[list[Any]] = []
    for number, line in lines:
        if not line.strip():
            continue
        record = _parse_line(line, place, number)
        if not isinstance(record, dict):
            raise place.error(number, f"expected an object, got {_kind(record)}", RECORDS)
        try:
            rows.append([_value(record.get(name), name, selection, place, number) for name in schema])
        except XmcpipeError as error:
            if way_out := way_out_of(record, selection.required):  # no document at all
                raise XmcpipeError(error.message, way_out) from error
            raise
    return pl.DataFrame(rows, schema=schema, orient="row")


def _value(value: Any, name: str, selection: Selection, place: JsonPlace, line: int) -> Any:
    """The value as a string, a list or None: numbers become strings, anything else is an error."""
    if value is None or value != value:  # NaN is a missing value
        return None
    if name in selection.watched:
        return item_text(value) if isinstance(value, str) else json.dumps(value)
    value = without_choices(value) if name in selection.lists else value
    if name in selection.lists or name in selection.whole_numbers:
        if isinstance(value, str) and name in selection.lists:
            if not value.strip():
                return None
            for parse in (parse_list, printed_items):
                if (parsed := parse(value)) is not None:
                    return parsed
        if isinstance(value, list):
            if name in selection.whole_numbers:
                return [_whole(item, name, place, line) for item in value]
            return [_scalar(item, name, selection, place, line) for item in value]
        is_text = isinstance(value, str) and name in selection.lists
        hint = TEXT_OF_LABELS if is_text else way_out_of_labels(value)
        raise place.error(line, f"expected a list in {name!r}, got {_kind(value)}", hint)
    if name in selection.separated and isinstance(value, list):
        # As text, which the reader of labels takes for a list.
        return json.dumps([_scalar(item, name, selection, place, line) for item in value], ensure_ascii=False)
    if name in selection.separated and without_choices(value) is not value:
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        raise place.error(line, f"expected a string or a number in {name!r}, got an object")
    return _scalar(value, name, selection, place, line)


def _scalar(value: Any, name: str, selection: Selection, place: JsonPlace, line: int) -> str | None:
    try:
        return item_text(value)
    except TypeError as error:
        fault = f"expected a string or a number in {name!r}, got {_kind(value)}"
        hint = way_out_of_label(value) if name in selection.lists else "write it as one string"
        raise place.error(line, fault, hint) from error


def _whole(value: Any, name: str, place: JsonPlace, line: int) -> int | None:
    """A whole number; floats such as 3.0 and strings such as "3" are accepted too."""
    text = str(value)
    if value is None:
        return None
    if not isinstance(value, bool) and re.fullmatch(r"-?[0-9]{1,18}(\.0)?", text):
        return int(text.removesuffix(".0"))
    raise place.error(line, f"expected whole numbers in {name!r}, got {text[:40]!r}")


def _kind(value: Any) -> str:
    names = {list: "a list", dict: "an object", str: "a string", bool: "true or false"}
    return "null" if value is None else names.get(type(value), "a number")


def _present_columns(block: str, rows: pl.DataFrame, selection: Selection, path: Path) -> tuple[str, ...]:
    """The selected columns that the file has, judged by its first block with rows.

    Raises XmcpipeError for a required column that is missing.
    """
    # A column of nulls is missing, or null in every line: only the keys in the text tell which.
    absent = {name for name in rows.columns if rows[name].null_count() == len(rows)}
    if absent:
        keys: dict[str, None] = {}
        for line in filter(str.strip, block.split("\n")):
            keys.update(dict.fromkeys(parse_json(line)))
        absent -= keys.keys()
        for name in selection.required:
            if absent.issuperset((name, *selection.stand_ins.get(name, ()))):
                first = parse_json(next(filter(str.strip, block.split("\n"))))
                raise selection.missing(path, name, list(keys), sure=way_out_of(first, selection.required))
    return tuple(name for name in rows.columns if name not in absent)
