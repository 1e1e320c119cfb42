"""Reads label names and texts, in the order of the repository, from lbl.json or lines of one label each."""

from pathlib import Path

import polars as pl

from xmcpipe.data.layouts.layout import Files, LayoutOptions
from xmcpipe.data.layouts.readers.ids import lines_with_ids
from xmcpipe.data.tables.formats import join_text
from xmcpipe.data.tables.jsonl import read_jsonl
from xmcpipe.data.tables.selection import Selection
from xmcpipe.errors import XmcpipeError

WHOLE_NUMBER = r"^-?[0-9]+$"


def read_names(files: Files, num_labels: int | None, options: LayoutOptions) -> pl.DataFrame | None:
    """The label table: columns `label` string, distinct, and `text` string or null. Row i is label i.

    The name of a label is its uid, else its line. If any of these repeat or are blank, all names are row
    numbers instead. If there are no texts, names are the texts too, unless all names are numbers. Without a
    file of the role `names`, names are row numbers if `num_labels` is known, and the result is None
    otherwise. Raises XmcpipeError if the file doesn't have `num_labels` labels.
    """
    if "names" not in files:
        if num_labels is None:
            return None
        return label_table(pl.int_range(num_labels, eager=True).cast(pl.String), None)
    path = files["names"]
    if path.name.removesuffix(".gz").endswith(".json"):
        names, texts = _read_json(path, options)
    else:
        names, texts = _read_lines(path, options.encoding, num_labels or 0)
    if num_labels is not None and len(names) != num_labels:
        raise XmcpipeError(
            f"{path}: expected {num_labels:,} labels, as the label matrix has columns, got {len(names):,}",
            "check that both files belong to the same version of the dataset",
        )
    return label_table(names, texts)


def label_table(names: pl.Series, texts: pl.Series | None) -> pl.DataFrame:
    """The label table from names, string [L], and texts, string [L]; see `read_names`."""
    if texts is None:
        texts = pl.Series([None], dtype=pl.String).new_from_index(0, len(names))  # L nulls
        if not names.str.contains(WHOLE_NUMBER).all():
            texts = names
    if names.n_unique() < len(names) or (names == "").any():
        names = pl.int_range(len(names), eager=True).cast(pl.String)
    table = pl.DataFrame([names.alias("label"), texts.alias("text")])
    return table.with_columns(pl.when(pl.col("text") != "").then(pl.col("text")))


def _read_lines(path: Path, encoding: str, least: int) -> tuple[pl.Series, pl.Series | None]:
    """The stripped lines and None or, if lines have ids, the ids and the rest of the lines.

    Blank lines at the end are dropped, except those among the first `least` lines.
    """
    blocks = list(lines_with_ids(path, encoding))
    texts = pl.concat([pl.Series([], dtype=pl.String), *(lines for _, lines in blocks)]).str.strip_chars()
    if blocks and blocks[0][0] is not None:
        return pl.concat([ids for ids, _ in blocks if ids is not None]), texts
    filled = (texts != "").arg_true()
    return texts.head(max(int(filled[-1]) + 1 if len(filled) else 0, least)), None


def _read_json(path: Path, options: LayoutOptions) -> tuple[pl.Series, pl.Series | None]:
    """The uid and the text of each label.

    The text consists of those text fields (see LayoutOptions) that labels have; None if they have none.
    """
    frames = list(read_jsonl(path, Selection((), ("uid", *options.fields)), options.encoding))
    rows = pl.concat(frames, how="diagonal") if frames else pl.DataFrame()
    fields = tuple(name for name in options.fields if name in rows.columns)
    if not fields and "uid" not in rows.columns:
        expected = " or ".join(("uid", *options.fields))
        raise XmcpipeError(f"{path}: expected {expected}, got none of them", "name the fields that hold text")
    blank = pl.Series([""]).new_from_index(0, len(rows))
    uid = rows["uid"].fill_null("").str.strip_chars() if "uid" in rows.columns else blank
    return uid, join_text(rows, fields, options.text_separator, path) if fields else None
