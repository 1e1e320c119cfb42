"""What is wanted of a table, whatever its format, and how an error about it reads."""

import difflib
from dataclasses import dataclass, field
from pathlib import Path

from xmcpipe.errors import XmcpipeError


@dataclass(frozen=True)
class Wanted:
    """The columns to read: `required` must be there, `optional` may; `lists` hold lists and `separated`
    strings that are lists with a separator, `whole_numbers` lists of integers (in JSON); others are plain
    values.
    """

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    lists: frozenset[str] = field(default_factory=frozenset)
    separated: frozenset[str] = field(default_factory=frozenset)
    whole_numbers: frozenset[str] = field(default_factory=frozenset)


def no_column(path: Path, name: str, present: list[str]) -> XmcpipeError:
    """The error for a column that isn't there."""
    columns = ", ".join(present[:20]) or "none"
    known = difflib.get_close_matches(name, present, n=1, cutoff=0.5)
    hint = f"did you mean {known[0]!r}?" if known else "name the column it is in (xmcpipe import --help)"
    return XmcpipeError(f"{path}: there is no column {name!r}; it has {columns}", hint)


def bad_row(path: Path, place: str, fault: str, hint: str = "") -> XmcpipeError:
    """The error for one row; `place` is as in "line 3"."""
    return XmcpipeError(f"{path}, {place}: {fault}", hint)
