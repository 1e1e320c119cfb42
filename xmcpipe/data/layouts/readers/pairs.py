"""Reads files of filter pairs: a line is the row of a document in its split, and a label, both from 0."""

from pathlib import Path

import polars as pl
import pyarrow as pa

from xmcpipe.data.layouts.layout import LayoutOptions
from xmcpipe.data.schema import FILTER_PAIRS
from xmcpipe.data.tables.lines import text_lines
from xmcpipe.data.tables.selection import row_error

# Two words of any form: numpy.savetxt writes whole numbers as 1.000000000000000000e+00.
PAIR = r"^\s*(\S+)[\s,]+(\S+)\s*$"
MAX_NUMBER = 2**31 - 1


def read_pairs(path: Path, table: pl.DataFrame | None, options: LayoutOptions) -> pa.Table:
    """The pairs in the order of the file: columns `row` int64 and `label` int32 (see schema.FILTER_PAIRS).

    Raises XmcpipeError, with the line, for anything but two whole numbers, and for a label that is not in the
    label `table`.
    """
    limit = MAX_NUMBER if table is None else len(table)
    parts = [_pairs(lines, first, limit, path) for first, lines in text_lines(path, options.encoding)]
    frame = pl.concat(parts) if parts else pl.DataFrame(schema={"row": pl.Int64, "label": pl.Int32})
    return frame.to_arrow().cast(FILTER_PAIRS)


def _pairs(lines: pl.Series, first: int, limit: int, path: Path) -> pl.DataFrame:
    """The pairs in a block of lines, of which the first has number `first`; labels must be below `limit`."""
    numbered = pl.DataFrame({"line": pl.int_range(len(lines), eager=True), "text": lines})
    numbered = numbered.filter(pl.col("text").str.strip_chars() != "")
    # Through floats, for savetxt's notation; they are exact up to 2^53, above all valid numbers.
    numbers = [pl.col("text").str.extract(PAIR, group).cast(pl.Float64, strict=False) for group in (1, 2)]
    pairs = numbered.select("line", "text", row=numbers[0], label=numbers[1])
    whole = [(pl.col(name) == pl.col(name).floor()) & (pl.col(name) >= 0) for name in ("row", "label")]
    fit = pairs.select(
        (whole[0] & whole[1] & (pl.col("row") <= MAX_NUMBER) & (pl.col("label") < limit)).fill_null(False)
    ).to_series()
    if not fit.all():
        line, text = pairs.row(int((~fit).arg_max() or 0))[:2]
        raise row_error(
            path,
            f"line {first + line}",
            f"expected the row of a document and a label below {limit:,}, got {text[:60]!r}",
            "check that the filter file belongs to the same dataset",
        )
    return pairs.select(pl.col("row").cast(pl.Int64), pl.col("label").cast(pl.Int32))
