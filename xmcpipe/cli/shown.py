"""Prints text on a terminal without obeying it: characters that steer a terminal are shown as escapes.

Names and texts come from strangers' files. A control character could move the cursor, set the title or clear
the screen, and a bidirectional override could make a line read as another one. Letters of all scripts, and
the joiners that some of them need, are printed as they are.
"""

import json
import math
from typing import Any

import typer

# C0 with DEL, C1 (U+009B begins a command, as ESC [ does), marks and overrides of the direction of text,
# separators of lines and paragraphs, and halves of characters, which can't be encoded.
_STEERING = (
    *range(0x00, 0x20),
    *range(0x7F, 0xA0),
    *(0x061C, 0x200E, 0x200F, 0x2028, 0x2029),
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
    *range(0xD800, 0xE000),
)
_ESCAPED = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in _STEERING}
_LINES = {code: text for code, text in _ESCAPED.items() if code not in (ord("\n"), ord("\t"))}
# JSON escapes C0 itself; in what it returns, line feeds and tabs are between the values.
_JSON = {code: f"\\u{code:04x}" for code in _STEERING if code >= 0x7F}


def one_line(text: str) -> str:
    """The text as a part of one line: line breaks and tabs are escaped too."""
    return text.translate(_ESCAPED)


def shown(text: str) -> str:
    """The text as lines to print: escaped, except for line feeds and tabs."""
    return text.translate(_LINES)


def json_text(value: Any, indent: int | None = None) -> str:
    """The JSON of a value, with letters as they are and all that steers a terminal as JSON escapes."""
    try:
        text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    except ValueError:  # JSON has no NaN and no infinity
        text = json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False)
    return text.translate(_JSON)


def _finite(value: Any) -> Any:
    """JSON types with null in place of each number that isn't finite."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def echo(text: str = "", err: bool = False) -> None:
    """Print lines on standard output, or with `err` on standard error, escaped as by `shown`."""
    typer.echo(shown(text), err=err)
