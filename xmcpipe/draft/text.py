"""A recipe as TOML text, with its comments wrapped to a narrow terminal."""

import json
import textwrap
from collections.abc import Iterator
from typing import Any

from xmcpipe.draft.keys import Table

WIDTH = 79


def recipe_text(name: str, heading: list[str], tables: list[Table]) -> str:
    """The text of a recipe: the `heading` as comments, its name, its tables."""
    lines = [line for paragraph in heading for line in _comment(paragraph)]
    lines.append(f"name = {_toml(name)}")
    for table in tables:
        lines += ["", *_table(table)]
    return "\n".join(lines) + "\n"


def _table(table: Table) -> Iterator[str]:
    yield f"[{table.name}]"
    yield from _comment(table.why)
    for key in table.keys:
        yield from _comment(key.why)
        yield f"{key.name} = {_toml(key.value)}"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ") if text else []


def _toml(value: Any) -> str:
    """A string, number, bool or list of strings; TOML writes these like JSON, except DEL in a string."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
