"""A recipe before it is text: keys with their values and reasons, in tables."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Key:
    """A key of a recipe, its value, and why: the comment above it."""

    name: str
    value: Any
    why: str = ""


@dataclass(frozen=True)
class Table:
    """A table of a recipe; `why` is the comment below its header."""

    name: str
    keys: list[Key]
    why: str = ""
