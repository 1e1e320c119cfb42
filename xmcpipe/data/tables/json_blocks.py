"""Turns a JSON file into blocks of JSON lines: it may also be an array, or objects of several lines."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from xmcpipe.data.tables import lines
from xmcpipe.data.tables.lines import text_blocks
from xmcpipe.data.tables.selection import row_error
from xmcpipe.errors import XmcpipeError
from xmcpipe.json_file import distinct_keys, parse_json

HINT = "write an object on each line, or one array of objects"
BETWEEN = re.compile(r"[\s,]*")


@dataclass(frozen=True)
class JsonPlace:
    """Names a place in a JSON file for errors: a line, or an object of an array."""

    path: Path
    unit: str = "line"

    def error(self, number: int, fault: str, hint: str = "") -> XmcpipeError:
        """The error for the line or object with this number, from 1."""
        return row_error(self.path, f"{self.unit} {number}", fault, hint)


def json_blocks(path: Path, encoding: str) -> tuple[JsonPlace, Iterator[tuple[int, str]]]:
    """The blocks of a JSON file as (number of the first line, lines of one object each).

    If the file is an array, or if an object has several lines, objects are numbered instead, from 1. Raises
    the errors of `text_blocks`, and XmcpipeError, with the object, for broken JSON.
    """
    blocks = text_blocks(path, encoding, carriage_returns=True)
    first = next(blocks, None)
    if first is None:
        return JsonPlace(path), iter(())
    blocks = chain([first], blocks)
    if _one_object_a_line(first[1]):
        return JsonPlace(path), blocks
    place = JsonPlace(path, "object")
    return place, _joined(_values((block for _, block in blocks), place))


def _one_object_a_line(block: str) -> bool:
    line = next((line for line in block.split("\n") if line.strip()), "")
    if line.lstrip().startswith("["):
        return False
    try:
        parse_json(line)
    except ValueError:
        # An object that goes on in the next line, as pretty printing leaves it; other faults are the line's.
        return not re.fullmatch(r"\s*\{(\s*\"[^\"]*\"\s*:.*,)?\s*", line)
    return True


def _values(blocks: Iterator[str], place: JsonPlace) -> Iterator[object]:
    """The values of an array, or values one after the other."""
    decoder = json.JSONDecoder(object_pairs_hook=_distinct)
    text, at, number = next(blocks), 0, 1
    is_array = text.lstrip().startswith("[")
    at = text.index("[") + 1 if is_array else 0
    closed = False
    while True:
        at = _after(text, at)
        if is_array and not closed and text.startswith("]", at):
            closed, at = True, _after(text, at + 1)
        more = None
        if at < len(text):
            try:
                value, at = decoder.raw_decode(text, at)
            except _RepeatedKeyError as error:
                raise place.error(number, f"invalid JSON: {error}", "give each key once") from error
            except RecursionError as error:
                raise place.error(number, "invalid JSON: it is nested too deeply", HINT) from error
            except ValueError as error:
                more = next(blocks, None)  # the value may go on in the next block
                if more is None:
                    raise place.error(number, f"invalid JSON: {error}", HINT) from error
            else:
                if closed:
                    raise place.error(number, "expected nothing after the array", HINT)
                yield value
                number += 1
                continue
        more = more or next(blocks, None)
        if more is None:
            break
        text, at = text[at:] + more, 0
    if is_array and not closed:
        raise place.error(number, "the array is not closed", "check that the file is complete")


class _RepeatedKeyError(Exception):
    """A key that an object has twice; no ValueError, which means that the value goes on in the next block."""


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    try:
        return distinct_keys(pairs)
    except ValueError as error:
        raise _RepeatedKeyError(str(error)) from error


def _after(text: str, at: int) -> int:
    """The place of the next character at or after `at` that is neither blank nor a comma."""
    found = BETWEEN.match(text, at)
    assert found is not None
    return found.end()


def _joined(values: Iterator[object]) -> Iterator[tuple[int, str]]:
    """Blocks of lines, a value on each, with the number of the first one."""
    first, part, length = 1, list[str](), 0
    for value in values:
        part.append(json.dumps(value))
        length += len(part[-1])
        if length >= lines.BLOCK_CHARACTERS:
            yield first, "\n".join(part)
            first, part, length = first + len(part), [], 0
    if part:
        yield first, "\n".join(part)
