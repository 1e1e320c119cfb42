"""0/1 vectors: a place for each label, 1 if the document has it.

Read as a list of labels, such a vector would give every document the labels "0" and "1". `VectorCheck` finds
columns that hold vectors, and refuses them; `read_vectors` reads them, if the user says what they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from xmcpipe.data.arrays import row_offsets
from xmcpipe.data.tables.selection import row_error
from xmcpipe.errors import XmcpipeError

NO = ("0", "0.0", "false", "False", "FALSE", "no", "No", "NO", "f", "F", "n", "N")
YES = ("1", "1.0", "true", "True", "TRUE", "yes", "Yes", "YES", "t", "T", "y", "Y")
TRUTH_VALUES = {*NO[:5], *YES[:5]}  # as numbers, and as programs print them
BINARY = {**dict.fromkeys(NO, 0), **dict.fromkeys(YES, 1)}
NUMBER = r"^-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$"
WAYS_OUT = (
    "read 0/1 vectors with --multi-hot (names: --label-table FILE, a row for each place), one column a label "
    "with --label-columns a,b,c, or write lists of label names"
)


@dataclass
class VectorCheck:
    """Looks for vectors among the lists of a column, batch by batch, and raises XmcpipeError for them."""

    path: Path
    column: str
    lists: int = 0
    shortest: int = 1 << 62
    longest: int = 0
    repeating: int = 0  # lists in which a value repeats; labels don't repeat
    binary: bool = True
    values: set[str] = field(default_factory=set)  # while all are binary
    numbers: bool = True
    fractions: bool = False
    smallest: float = 1.0
    largest: float = 0.0
    example: str = ""

    def add(self, lists: pl.Series) -> None:
        """Look at a batch, list<string> [n]. Raises XmcpipeError if the column surely holds no labels."""
        filled = lists.filter(lists.list.len() > 0)
        harmless = self.lists and not self.binary and self.shortest != self.longest
        if filled.is_empty() or not self.numbers or harmless:
            return
        lengths = filled.list.len()
        values = filled.explode().drop_nulls().unique()
        self.numbers &= bool(values.str.contains(NUMBER).all()) or bool(values.is_in(list(BINARY)).all())
        self.binary &= bool(values.is_in(list(BINARY)).all())
        if self.binary:
            self.values.update(values)
        if not self.numbers:
            return
        numbers = values.cast(pl.Float64, strict=False).drop_nulls().to_numpy()
        self.fractions |= bool((numbers % 1 != 0).any())
        self.smallest = min(self.smallest, float(numbers.min(initial=1.0)))
        self.largest = max(self.largest, float(numbers.max(initial=0.0)))
        self.lists += len(filled)
        self.shortest = min(self.shortest, int(lengths.min()))  # type: ignore[arg-type]
        self.longest = max(self.longest, int(lengths.max()))  # type: ignore[arg-type]
        repeating = filled.list.n_unique() < lengths
        self.repeating += int(repeating.sum())
        if not self.example or repeating.any():
            self.example = _shown(filled[int(repeating.arg_max() or 0)])
        if self.binary and self.repeating and self._are_both:
            raise self._error(self._binary_fault)

    def finish(self) -> None:
        """Raises XmcpipeError if all lists together show that the column holds vectors."""
        same_length = self.numbers and self.lists >= 2 and self.shortest == self.longest
        if same_length and self.binary and self.longest == 2 and self._are_both:
            raise self._error(self._binary_fault)
        # Labels may be numbers with a fraction, such as those of Dewey's classification: 512.4.
        scores = self.fractions and (self.smallest < 0 or self.largest <= 1)
        if same_length and self.longest >= 3 and scores:
            raise self._error(f"are all {self.longest} numbers long and hold fractions")
        if same_length and self.longest >= 3 and self.repeating > self.lists / 2:
            raise self._error(f"are all {self.longest} numbers long and repeat values")

    @property
    def _are_both(self) -> bool:
        """Whether words for both are there: "y" alone is a name. A vector of numbers may be all 1."""
        return not self._words or (not self.values.isdisjoint(NO) and not self.values.isdisjoint(YES))

    @property
    def _words(self) -> bool:
        """Whether some values are yes, no or a letter for them."""
        return not self.values <= TRUTH_VALUES

    @property
    def _binary_fault(self) -> str:
        return "hold only words for no and yes" if self._words else "hold only 0 and 1"

    def _error(self, fault: str) -> XmcpipeError:
        return XmcpipeError(
            f"{self.path}: expected lists of labels in column {self.column!r}, but they {fault}, such as "
            f"{self.example}",
            WAYS_OUT,
        )


def read_vectors(
    lists: pl.Series, names: Sequence[str] | None, path: Path, column: str, first_row: int
) -> tuple[pl.Series, tuple[str, ...]]:
    """The names of the places that are 1, list<string> [n], given vectors list<string> [n]; and all names.

    A null or an empty list has no label. Without `names`, places are called 0, 1, …. Raises XmcpipeError,
    with the row, for a vector of another length than there are names, and a value that is neither 0 nor 1.
    """
    lengths = lists.list.len().fill_null(0).to_numpy()
    filled = np.flatnonzero(lengths > 0)
    if not len(filled):
        return pl.Series(lists.name, [[]] * len(lists), pl.List(pl.String)), tuple(names or ())
    width = int(lengths[filled[0]]) if names is None else len(names)
    names = tuple(map(str, range(width))) if names is None else tuple(names)
    values = lists.filter(pl.Series(lengths > 0)).explode()
    bits = binary(values)
    if bits.null_count():
        place = int(bits.is_null().arg_max() or 0)
        row = np.repeat(filled, lengths[filled])[place]
        raise row_error(
            path,
            f"row {first_row + int(row) + 1}",
            f"expected 0 or 1 in {column!r}, got {values[place]!r}",
            "write 0 and 1, true and false, or yes and no; lists of labels need no --multi-hot",
        )
    odd = filled[lengths[filled] != width]
    if len(odd):
        raise row_error(
            path,
            f"row {first_row + int(odd[0]) + 1}",
            f"expected a vector of {width:,} places in {column!r}, got {int(lengths[odd[0]]):,}",
            "all vectors need a place for each label; check that the label table has a row for each",
        )
    ones = np.zeros((len(lists), width), bool)
    ones[filled] = bits.to_numpy().reshape(-1, width) > 0
    return named(ones, names).alias(lists.name), names


def binary(values: pl.Series) -> pl.Series:
    """0 or 1 for each string, int8 [n]; null for anything else."""
    return values.str.strip_chars().replace_strict(BINARY, default=None, return_dtype=pl.Int8)


def named(ones: npt.NDArray[np.bool_], names: Sequence[str]) -> pl.Series:
    """For each row of `ones`, bool [n, L], the names of its places, list<string> [n]."""
    rows, places = np.nonzero(ones)
    offsets = row_offsets(np.bincount(rows, minlength=len(ones)))
    values = pa.array(names, pa.string()).take(pa.array(places))
    lists = pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), values)
    series = pl.from_arrow(lists)
    assert isinstance(series, pl.Series)
    return series


def _shown(items: pl.Series) -> str:
    """The beginning of a list, for a message."""
    shown = ", ".join(items.head(8).fill_null("null"))
    return f"[{shown}, …]" if len(items) > 8 else f"[{shown}]"
