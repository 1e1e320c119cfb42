"""The choice of columns to read from a table of any format, and errors that name a column or a row."""

import difflib
from dataclasses import dataclass, field
from pathlib import Path

from xmcpipe.errors import XmcpipeError


@dataclass(frozen=True)
class Selection:
    """The names of the columns to read, and the types that a reader of files without a schema assumes.

    A file must have the `required` columns, and may have the `optional` ones. `lists` are lists of strings,
    `separated` are strings that hold a list with a separator, and `whole_numbers` are lists of integers (JSON
    only). All other columns hold plain values.
    """

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    lists: frozenset[str] = field(default_factory=frozenset)
    separated: frozenset[str] = field(default_factory=frozenset)
    whole_numbers: frozenset[str] = field(default_factory=frozenset)

    def present_in(self, names: list[str], path: Path) -> list[str]:
        """The selected columns that are in `names`, the columns of the file; required columns come first.

        Raises XmcpipeError for a required column that is missing.
        """
        for name in self.required:
            if name not in names:
                raise missing_column_error(path, name, names)
        return [name for name in (*self.required, *self.optional) if name in names]


def missing_column_error(path: Path, name: str, present: list[str]) -> XmcpipeError:
    """The error for a column that is not in the file; its hint names the most similar column."""
    columns = ", ".join(present[:20]) or "none"
    close = difflib.get_close_matches(name, present, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else "name the right column (see xmcpipe import --help)"
    return XmcpipeError(f"{path}: expected a column {name!r}, got {columns}", hint)


def row_error(path: Path, place: str, fault: str, hint: str = "") -> XmcpipeError:
    """The error for a row; `place` names the row, for example "line 3"."""
    return XmcpipeError(f"{path}, {place}: {fault}", hint)
