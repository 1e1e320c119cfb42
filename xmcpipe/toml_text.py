"""Reads TOML of unknown origin: tomllib recurses into nested values, and copies prefixes of dotted keys."""

import re
import tomllib
from typing import Any

MOST_BYTES = 1 << 20
MOST_DOTS = 32  # in a line, outside strings: a recipe needs two
_STRING = re.compile(r'"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#.*')


def parse_toml(text: str) -> dict[str, Any]:
    """The tables in `text`. Raises TOMLDecodeError, also for what is too long or nested too deeply."""
    if len(text) > MOST_BYTES:
        raise tomllib.TOMLDecodeError(f"expected at most {MOST_BYTES:,} characters, got {len(text):,}")
    for number, line in enumerate(text.splitlines(), 1):
        if line.count(".") > MOST_DOTS and _STRING.sub("", line).count(".") > MOST_DOTS:
            raise tomllib.TOMLDecodeError(f"a key has more than {MOST_DOTS} dots (at line {number})")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise tomllib.TOMLDecodeError("a value is nested too deeply") from error
