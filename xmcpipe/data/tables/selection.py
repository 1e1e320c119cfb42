"""The choice of columns to read from a table of any format, and errors that name a column or a row."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xmcpipe.errors import XmcpipeError


@dataclass(frozen=True)
class Selection:
    """The names of the columns to read, and the types that a reader of files without a schema assumes.

    A file must have the `required` columns, and may have the `optional` ones. `lists` are lists of strings,
    `separated` are strings that hold a list with a separator, and `whole_numbers` are lists of integers (JSON
    only). `watched` are read if the file has them, whatever they hold: in JSON lists and objects are text.
    All other columns hold plain values. `stand_ins` are columns that may stand in for a required one
    that is missing: its name -> theirs, the first one that the file has counts. `ways_out`: what to do if the
    file has no such column, by its name.
    """

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    lists: frozenset[str] = field(default_factory=frozenset)
    separated: frozenset[str] = field(default_factory=frozenset)
    whole_numbers: frozenset[str] = field(default_factory=frozenset)
    stand_ins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ways_out: Mapping[str, str] = field(default_factory=dict)
    watched: tuple[str, ...] = ()

    def fits(self, names: list[str]) -> bool:
        """Whether a file with the columns `names` has all that are required."""
        return all(
            any(each in names for each in (name, *self.stand_ins.get(name, ()))) for name in self.required
        )

    def present_in(self, names: list[str], path: Path, way_out: str = "") -> list[str]:
        """The selected columns that are in `names`, the columns of the file; required columns come first.

        Raises XmcpipeError for a required column that is missing; `way_out` is as in `missing`.
        """
        present = []
        for name in self.required:
            found = next((each for each in (name, *self.stand_ins.get(name, ())) if each in names), None)
            if found is None:
                raise self.missing(path, name, names, way_out)
            present.append(found)
        present += [name for name in self.optional if name in names]
        for name in present:
            if names.count(name) > 1:
                raise XmcpipeError(f"{path}: {names.count(name)} columns are called {name!r}", "rename them")
        return present + [name for name in self.watched if names.count(name) == 1 and name not in present]

    def missing(
        self, path: Path, name: str, present: list[str], way_out: str = "", sure: str = ""
    ) -> XmcpipeError:
        """The error for a column `name` that is not among the columns `present` of the file.

        Its hint is `sure`, the way out that the content of the file tells; or names the most similar column;
        or, if there is none, has the ways out: that of the column, and `way_out`, of any column.
        """
        columns = ", ".join(column[:40] for column in present[:20]) or "none"
        numbered = [
            each for each in present if re.fullmatch(rf"{name.removesuffix('s')}s?[ _.-]?\d+", each, re.I)
        ]
        if len(numbered) > 1:
            way_out = f"write {', '.join(numbered[:4])} as one column {name!r}"
            return XmcpipeError(f"{path}: expected a column {name!r}, got {columns}", way_out)
        close = difflib.get_close_matches(name, present, n=1, cutoff=0.5)
        ways = (self.ways_out.get(name, "name the right column (see xmcpipe import --help)"), way_out)
        hint = sure or (f"did you mean {close[0]!r}?" if close else ", or ".join(filter(None, ways)))
        return XmcpipeError(f"{path}: expected a column {name!r}, got {columns}", hint)

    @property
    def all_names(self) -> tuple[str, ...]:
        """The names of all columns that may be read, distinct."""
        stand_ins = (each for names in self.stand_ins.values() for each in names)
        return (*dict.fromkeys((*self.required, *stand_ins, *self.optional, *self.watched)),)


def row_error(path: Path, place: str, fault: str, hint: str = "") -> XmcpipeError:
    """The error for a row; `place` names the row, for example "line 3"."""
    return XmcpipeError(f"{path}, {place}: {fault}", hint)
