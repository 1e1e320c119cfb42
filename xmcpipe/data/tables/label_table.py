"""Reads the label table, which gives labels their texts and determines their order."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from xmcpipe.data.tables.formats import TextFileOptions, delimiter_of, read_rows
from xmcpipe.data.tables.lines import text_blocks
from xmcpipe.data.tables.selection import Selection
from xmcpipe.errors import XmcpipeError, require_file


def read_label_table(path: Path, label: str, text: str, options: TextFileOptions) -> pl.DataFrame:
    """A frame with the columns `label` string, distinct, and `text` string, null if blank, in file order.

    The arguments `label` and `text` are the names of the columns in the file, and may be equal. In a CSV or
    TSV file without a header, a line is a label, the delimiter, and the text of the label up to the end of
    the line. If a label has several rows, the first one counts. Raises the errors of `read_rows`, and
    XmcpipeError for a table without labels.
    """
    delimiter = delimiter_of(path)
    if delimiter and not options.header:
        frames = list(_read_pairs(path, delimiter, options.encoding))
    else:
        selection = Selection((*dict.fromkeys((label, text)),))
        columns = [_clean(label).alias("label"), _clean(text).alias("text")]
        frames = [rows.select(columns) for rows in read_rows(path, selection, options)]
    table = pl.concat(frames) if frames else pl.DataFrame(schema={"label": pl.String, "text": pl.String})
    table = table.filter(pl.col("label") != "").unique("label", keep="first", maintain_order=True)
    if table.is_empty():
        raise XmcpipeError(
            f"{path}: expected at least one label, got none", "check label_table and label_column"
        )
    return table.with_columns(pl.when(pl.col("text") != "").then(pl.col("text")))


def _read_pairs(path: Path, delimiter: str, encoding: str) -> Iterator[pl.DataFrame]:
    # The table reader is not used: label texts contain tabs or commas, which it would take for delimiters.
    for _, block in text_blocks(require_file(path, "label_table"), encoding):
        lines = pl.Series(block.split("\n")).str.strip_chars_end("\r")
        parts = lines.str.splitn(delimiter, 2).struct.rename_fields(["label", "text"]).struct.unnest()
        yield parts.select(_clean("label"), _clean("text"))


def _clean(column: str) -> pl.Expr:
    """A column as strings, stripped, and with each run of blanks replaced by one."""
    return pl.col(column).cast(pl.String).str.replace_all(r"\s+", " ").str.strip_chars()
