"""Ids of documents and labels: those in the files if there are any, else row numbers."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from xmcpipe.data.tables.lines import text_lines
from xmcpipe.data.tables.selection import row_error

WITH_ID = r"^(\S+?)->(.*)$"


def lines_with_ids(path: Path, encoding: str) -> Iterator[tuple[pl.Series | None, pl.Series]]:
    """Yield ids, string [n] or None, and the lines without the ids, in the blocks of `text_lines`.

    Files called *.raw.txt hold either plain lines or lines of `id->text`. The first block decides: if all its
    lines have ids, XmcpipeError, with the line, is raised for a later line without an id.
    """
    with_ids: bool | None = None if path.name.removesuffix(".gz").endswith(".raw.txt") else False
    for first, lines in text_lines(path, encoding):
        if with_ids is None:
            with_ids = bool(lines.str.contains(WITH_ID).all())
        if not with_ids:
            yield None, lines
            continue
        parts = lines.str.extract_groups(WITH_ID).struct.unnest()
        wrong = parts["1"].is_null()
        if wrong.any():
            line = int(wrong.arg_max() or 0)
            raise row_error(path, f"line {first + line}", f"expected id->text, got {lines[line][:60]!r}")
        yield parts["1"], parts["2"]


class DocumentIds:
    """Makes distinct ids for the documents of one file, block by block, from any ids in the file."""

    def __init__(self) -> None:
        self._row = 0
        self._seen = pl.Series([], dtype=pl.UInt64)  # hashes of all ids so far

    def next(self, ids: pl.Series | None, count: int) -> pl.Series:
        """The ids of the next `count` documents, string [count].

        They are the `ids` of the file, with `#` and the row number appended to an id that is empty or repeats
        an earlier one. If `ids` is None, they are the row numbers. Rows are counted from 0.
        """
        number = pl.int_range(self._row, self._row + count, eager=True).cast(pl.String)
        self._row += count
        if ids is None:
            return number
        ids = ids.fill_null("")
        keys = ids.hash(seed=0)
        repeated = ~ids.is_first_distinct() | keys.is_in(self._seen.implode()) | (ids == "")
        self._seen = pl.concat([self._seen, keys.unique()])
        return pl.select(pl.when(repeated).then(ids + "#" + number).otherwise(ids)).to_series()
