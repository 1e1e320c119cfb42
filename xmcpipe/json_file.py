"""Reads JSON objects of unknown origin: of a bounded size and depth, and only from ordinary files."""

import json
import math
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

JSON_BYTES = 1 << 25  # 32 MiB: as Python objects, JSON takes up to thirty times its size


def read_json_object(path: Path, most_bytes: int = JSON_BYTES) -> dict[str, Any]:
    """The object in the file `path`.

    Raises OSError for a file that can't be read, and ValueError, with the reason, for a pipe or a device,
    more than `most_bytes` bytes, text that isn't UTF-8 JSON, nesting that is too deep, and anything but an
    object.
    """
    return parse_json_object(read_bounded(path, most_bytes))


def read_bounded(path: Path, most_bytes: int) -> bytes:
    """The bytes of an ordinary file of at most `most_bytes` bytes. Raises OSError or ValueError."""
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):  # reading a pipe would wait for ever
        raise ValueError(f"{path.name} is not an ordinary file")
    if facts.st_size > most_bytes:
        raise ValueError(f"{path.name} has {facts.st_size:,} bytes, more than {most_bytes:,}")
    return path.read_bytes()


def distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs. Raises JSONDecodeError for a repeated key: one value would be lost."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise json.JSONDecodeError(f"the key {repeated[:40]!r} is given twice", "", 0)
    return found


def parse_json(
    text: str | bytes, object_of: Callable[[list[tuple[str, Any]]], dict[str, Any]] | None = None
) -> Any:
    """The value in `text`. Raises JSONDecodeError, or UnicodeDecodeError, for all that can't be read.

    `object_of` makes an object of its pairs, such as `distinct_keys`; by default the last of equal keys
    counts.
    For nesting that is too deep, and for numbers of thousands of digits, json.loads raises other errors.
    """
    try:
        return json.loads(text, object_pairs_hook=object_of)
    except RecursionError as error:
        raise json.JSONDecodeError("its JSON is nested too deeply", "", 0) from error
    except ValueError as error:
        if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
            raise
        raise json.JSONDecodeError("a number has too many digits", "", 0) from error


def parse_json_object(text: bytes) -> dict[str, Any]:
    """The object in `text`. Raises ValueError as `read_json_object` does."""
    table = parse_json(text)
    if not isinstance(table, dict):
        raise ValueError(f"expected a JSON object, got {type(table).__name__}")
    return table


def is_of_kind(value: Any, kinds: tuple[type, ...]) -> bool:
    """Whether a value of JSON has one of these types; infinity and a truth value are no numbers.

    Python reads 1e999 as infinity, and takes True for an int.
    """
    if isinstance(value, bool):
        return bool in kinds
    return isinstance(value, kinds) and not (isinstance(value, float) and not math.isfinite(value))
