"""Which columns to read from a table of any format, and the errors that name a column or a row."""

import difflib
from dataclasses import dataclass, field
from pathlib import Path

from xmcpipe.errors import XmcpipeError


@dataclass(frozen=True)
class Selection:
    """The columns to read, by name, and the type that a reader without a schema gives them.

    A file must have the `required` columns and may have the `optional` ones. `lists` are lists of strings,
    `separated` are strings that hold a list with a separator, `whole_numbers` are lists of integers (JSON
    only). All other columns are plain values.
    """

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    lists: frozenset[str] = field(default_factory=frozenset)
    separated: frozenset[str] = field(default_factory=frozenset)
    whole_numbers: frozenset[str] = field(default_factory=frozenset)

    def present_in(self, names: list[str], path: Path) -> list[str]:
        """The selected columns that are among the file's `names`, required ones first.

        Raises XmcpipeError for a required column that is missing.
        """
        for name in self.required:
            if name not in names:
                raise missing_column_error(path, name, names)
        return [name for name in (*self.required, *self.optional) if name in names]


def missing_column_error(path: Path, name: str, present: list[str]) -> XmcpipeError:
    """The error for a column that the file doesn't have; it names the nearest one."""
    columns = ", ".join(present[:20]) or "none"
    close = difflib.get_close_matches(name, present, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else "name the right column (see xmcpipe import --help)"
    return XmcpipeError(f"{path}: expected a column {name!r}, got {columns}", hint)


def row_error(path: Path, place: str, fault: str, hint: str = "") -> XmcpipeError:
    """The error for one row; `place` names it, for example "line 3"."""
    return XmcpipeError(f"{path}, {place}: {fault}", hint)
