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

from xmcpipe.data.tables.lines import text_blocks
from xmcpipe.data.tables.selection import Selection, missing_column_error, row_error

Schema = dict[str, pl.DataType]


def read_jsonl(path: Path, selection: Selection, encoding: str) -> Iterator[pl.DataFrame]:
    """Yield the selected columns of a .jsonl or .jsonl.gz file, about 8 million characters at a time.

    Columns are list<string> for `selection.lists`, list<int64> for `selection.whole_numbers`, and string
    otherwise; a value is null if its line lacks the key. Raises XmcpipeError, with file and line, for broken
    JSON, a value of a wrong type and bytes that aren't valid in `encoding`.
    """
    present: tuple[str, ...] | None = None  # the columns that the file has, as its first rows show
    for line, block in text_blocks(path, encoding):
        rows = _parse(block, selection, path, line)
        if present is None and not rows.is_empty():
            present = _present_columns(block, rows, selection, path)
        yield rows.select(present or selection.required)


def _parse(block: str, selection: Selection, path: Path, first_line: int) -> pl.DataFrame:
    """The rows of a block, with all selected columns; `first_line` is the number of its first line."""
    schema: Schema = {name: _type(name, selection) for name in (*selection.required, *selection.optional)}
    try:
        rows = pl.read_ndjson(io.BytesIO(block.encode()), schema=schema)
    except (pl.exceptions.PolarsError, UnicodeEncodeError):
        rows_read = _read_by_line(enumerate(block.split("\n"), first_line), selection, schema, path)
        return pl.DataFrame(rows_read, schema=schema, orient="row")
    # polars returns a nested value as its JSON text, so a line with a value that looks like JSON is suspect.
    # Python's parser refuses a nested value; a real string that looks like JSON passes, and `rows` is right.
    strings = [name for name in schema if name not in selection.whole_numbers]
    nested = rows.select(_looks_nested(name, name in selection.lists).alias(name) for name in strings)
    suspects = set(nested.select(pl.any_horizontal(pl.all())).to_series().arg_true())
    if suspects:
        lines = [pair for pair in enumerate(block.split("\n"), first_line) if pair[1].strip()]
        chosen = [pair for row, pair in enumerate(lines) if row in suspects]
        _read_by_line(chosen, selection, schema, path)
    return rows


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
    lines: Iterable[tuple[int, str]], selection: Selection, schema: Schema, path: Path
) -> list[list[Any]]:
    """The values of the columns in `schema` for each (number, line); blank lines are skipped."""
    rows: list[list[Any]] = []
    for number, line in lines:
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise row_error(
                path, f"line {number}", f"invalid JSON: {error}", "write one object per line"
            ) from error
        if not isinstance(record, dict):
            raise row_error(path, f"line {number}", f"expected an object, got {_kind(record)}")
        rows.append([_value(record.get(name), name, selection, path, number) for name in schema])
    return rows


def _value(value: Any, name: str, selection: Selection, path: Path, line: int) -> Any:
    """The value as a string, a list or None: numbers become strings, anything else is an error."""
    if value is None:
        return None
    if name in selection.lists or name in selection.whole_numbers:
        if isinstance(value, list):
            read = _whole if name in selection.whole_numbers else _scalar
            return [read(item, name, path, line) for item in value]
        hint = "set label_separator" if isinstance(value, str) and name in selection.lists else ""
        raise row_error(path, f"line {line}", f"expected a list in {name!r}, got {_kind(value)}", hint)
    if name in selection.separated and isinstance(value, list):
        fault = f"expected a string with separators in {name!r}, got a list"
        raise row_error(path, f"line {line}", fault, "remove label_separator")
    return _scalar(value, name, path, line)


def _scalar(value: Any, name: str, path: Path, line: int) -> str | None:
    if value is None or isinstance(value, str):
        # JSON can express a lone surrogate, which UTF-8 can't: replace it.
        return value if value is None else value.encode("utf-8", "replace").decode()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise row_error(path, f"line {line}", f"expected a string or a number in {name!r}, got {_kind(value)}")


def _whole(value: Any, name: str, path: Path, line: int) -> int | None:
    """A whole number; floats such as 3.0 and strings such as "3" are accepted too."""
    text = str(value)
    if value is None:
        return None
    if not isinstance(value, bool) and re.fullmatch(r"-?[0-9]{1,18}(\.0)?", text):
        return int(text.removesuffix(".0"))
    raise row_error(path, f"line {line}", f"expected whole numbers in {name!r}, got {text[:40]!r}")


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
            keys.update(dict.fromkeys(json.loads(line)))
        absent -= keys.keys()
        for name in selection.required:
            if name in absent:
                raise missing_column_error(path, name, list(keys))
    return tuple(name for name in rows.columns if name not in absent)
