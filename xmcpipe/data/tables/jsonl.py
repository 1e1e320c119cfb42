"""JSON lines in blocks: a fast parser for blocks that are as they should be, a patient one for the rest.

polars parses a block of whole lines at once, but where it fails it can't say which line is at fault: then
Python's parser goes through the block line by line, and finds the fault or reads what polars could not. Where
a text is an object, polars silently gives its JSON: such lines are read again, to refuse them.
"""

import io
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from xmcpipe.data.tables.columns import Wanted, bad_row, no_column
from xmcpipe.data.tables.lines import text_blocks

Schema = dict[str, pl.DataType]


def read_jsonl(path: Path, wanted: Wanted, encoding: str) -> Iterator[pl.DataFrame]:
    """Yield the wanted columns of a .jsonl or .jsonl.gz file, some 8 MB of text at a time.

    Every column is string, or list<string> for `wanted.lists`, list<int64> for `wanted.whole_numbers`; null
    where a line lacks it. Raises XmcpipeError that names file and line for broken JSON, a value of a wrong
    type or bytes that aren't in `encoding`.
    """
    present: tuple[str, ...] | None = None
    for line, block in text_blocks(path, encoding):
        rows = _parse(block, wanted, path, line)
        if present is None and not rows.is_empty():
            present = _check_columns(block, rows, wanted, path)
        yield rows.select(present or wanted.required)


def _parse(block: str, wanted: Wanted, path: Path, first_line: int) -> pl.DataFrame:
    schema: Schema = {name: _type(name, wanted) for name in (*wanted.required, *wanted.optional)}
    try:
        rows = pl.read_ndjson(io.BytesIO(block.encode()), schema=schema)
    except (pl.exceptions.PolarsError, UnicodeEncodeError):
        rows_read = _read_patiently(enumerate(block.split("\n"), first_line), wanted, schema, path)
        return pl.DataFrame(rows_read, schema=schema, orient="row")
    # a nested value comes back as its JSON, so where a value looks like JSON its line is read again
    strings = [name for name in schema if name not in wanted.whole_numbers]
    nested = rows.select(_looks_nested(name, name in wanted.lists).alias(name) for name in strings)
    suspects = set(nested.select(pl.any_horizontal(pl.all())).to_series().arg_true())
    if suspects:
        lines = [pair for pair in enumerate(block.split("\n"), first_line) if pair[1].strip()]
        chosen = [pair for row, pair in enumerate(lines) if row in suspects]
        _read_patiently(chosen, wanted, schema, path)
    return rows


def _type(name: str, wanted: Wanted) -> pl.DataType:
    if name in wanted.whole_numbers:
        return pl.List(pl.Int64())
    return pl.List(pl.String()) if name in wanted.lists else pl.String()


def _looks_nested(name: str, is_list: bool) -> pl.Expr:
    pattern = r"(?s)^[\[{].*[\]}]$"
    if is_list:
        return pl.col(name).list.eval(pl.element().str.contains(pattern)).list.any().fill_null(False)
    return pl.col(name).str.contains(pattern).fill_null(False)


def _read_patiently(
    lines: Iterable[tuple[int, str]], wanted: Wanted, schema: Schema, path: Path
) -> list[list[Any]]:
    """The columns of `schema` of each (number, line); lines that are blank are no rows."""
    rows: list[list[Any]] = []
    for number, line in lines:
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise bad_row(path, f"line {number}", f"it isn't JSON: {error}") from error
        if not isinstance(record, dict):
            raise bad_row(path, f"line {number}", f"{_kind(record)} was given, an object was wanted")
        rows.append([_value(record.get(name), name, wanted, path, number) for name in schema])
    return rows


def _value(value: Any, name: str, wanted: Wanted, path: Path, line: int) -> Any:
    """The value as string, list of strings or None: numbers become strings, anything else is an error."""
    if value is None:
        return None
    if name in wanted.lists or name in wanted.whole_numbers:
        if isinstance(value, list):
            read = _whole if name in wanted.whole_numbers else _scalar
            return [read(item, name, path, line) for item in value]
        hint = "set label_separator" if isinstance(value, str) and name in wanted.lists else ""
        raise bad_row(path, f"line {line}", f"{name!r} is {_kind(value)}, a list was wanted", hint)
    if name in wanted.separated and isinstance(value, list):
        raise bad_row(
            path,
            f"line {line}",
            f"{name!r} is a list, a separated string was wanted",
            "leave label_separator out",
        )
    return _scalar(value, name, path, line)


def _scalar(value: Any, name: str, path: Path, line: int) -> str | None:
    if value is None or isinstance(value, str):
        # a lone surrogate can be written in JSON but not in UTF-8
        return value if value is None else value.encode("utf-8", "replace").decode()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise bad_row(path, f"line {line}", f"{name!r} is {_kind(value)}, a string or a number was wanted")


def _whole(value: Any, name: str, path: Path, line: int) -> int | None:
    text = str(value)
    if value is None:
        return None
    if not isinstance(value, bool) and re.fullmatch(r"-?[0-9]{1,18}(\.0)?", text):
        return int(text.removesuffix(".0"))
    raise bad_row(path, f"line {line}", f"{name!r} holds {text[:40]!r}, whole numbers were wanted")


def _kind(value: Any) -> str:
    names = {list: "a list", dict: "an object", str: "a string", bool: "true or false"}
    return "null" if value is None else names.get(type(value), "a number")


def _check_columns(block: str, rows: pl.DataFrame, wanted: Wanted, path: Path) -> tuple[str, ...]:
    """The wanted columns that the file has, from its first block. Raises XmcpipeError for a missing one."""
    absent = {name for name in rows.columns if rows[name].null_count() == len(rows)}
    if absent:
        keys: dict[str, None] = {}
        for line in filter(str.strip, block.split("\n")):
            keys.update(dict.fromkeys(json.loads(line)))
        absent -= keys.keys()
        for name in wanted.required:
            if name in absent:
                raise no_column(path, name, list(keys))
    return tuple(name for name in rows.columns if name not in absent)
