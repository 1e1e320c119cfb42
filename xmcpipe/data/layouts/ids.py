"""What documents and labels are called: the repository's own id where it has one, else a number."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from xmcpipe.data.tables.columns import bad_row
from xmcpipe.data.tables.lines import text_lines

WITH_ID = r"^(\S+?)->(.*)$"


def lines_with_ids(path: Path, encoding: str) -> Iterator[tuple[pl.Series | None, pl.Series]]:
    """Yield ids, string [n] or None, and the lines without them, in blocks as `text_lines` does.

    Files called *.raw.txt hold either plain lines or `id->text`: they do if all lines of the first block do,
    and a later line that doesn't is then an XmcpipeError that names it.
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
            raise bad_row(
                path, f"line {first + line}", f"{lines[line][:60]!r} was given, id->text was wanted"
            )
        yield parts["1"], parts["2"]


class DocumentIds:
    """Names the documents of one file, block by block: ids that are distinct, whatever the file has."""

    def __init__(self) -> None:
        self._row = 0
        self._seen = pl.Series([], dtype=pl.UInt64)  # hashes of the ids until now

    def take(self, given: pl.Series | None, count: int) -> pl.Series:
        """Ids string [count]: those given, with the row's number where one repeats or is empty."""
        number = pl.int_range(self._row, self._row + count, eager=True).cast(pl.String)
        self._row += count
        if given is None:
            return number
        given = given.fill_null("")
        keys = given.hash(seed=0)
        repeated = ~given.is_first_distinct() | keys.is_in(self._seen.implode()) | (given == "")
        self._seen = pl.concat([self._seen, keys.unique()])
        return pl.select(pl.when(repeated).then(given + "#" + number).otherwise(given)).to_series()
