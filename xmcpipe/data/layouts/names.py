"""Label names and texts in the repository's order: lbl.json, or a file with a label a line."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from xmcpipe.data.layouts import LayoutOptions
from xmcpipe.data.layouts.ids import lines_with_ids
from xmcpipe.data.tables.columns import Wanted
from xmcpipe.data.tables.formats import join_text
from xmcpipe.data.tables.jsonl import read_jsonl
from xmcpipe.errors import XmcpipeError

WHOLE_NUMBER = r"^-?[0-9]+$"


def read_names(
    files: Mapping[str, Path], num_labels: int | None, options: LayoutOptions
) -> pl.DataFrame | None:
    """`label` string, distinct, and `text` string or null; row i is the repository's label i.

    A label is called by its uid, or else its line; where those repeat or one is blank, labels are called by
    their numbers. A name is its text too, unless all names are numbers. Without a file of names: None, or
    the numbers where `num_labels` is known. Raises XmcpipeError for a file of more or fewer labels than
    that.
    """
    if "names" not in files:
        if num_labels is None:
            return None
        return named(pl.int_range(num_labels, eager=True).cast(pl.String), None)
    path = files["names"]
    if path.name.removesuffix(".gz").endswith(".json"):
        names, texts = _read_json(path, options)
    else:
        names, texts = _read_lines(path, options.encoding, num_labels or 0)
    if num_labels is not None and len(names) != num_labels:
        raise XmcpipeError(
            f"{path} has {len(names):,} labels, and the label matrix {num_labels:,} columns",
            "check that both files are of the same version of the dataset",
        )
    return named(names, texts)


def named(names: pl.Series, texts: pl.Series | None) -> pl.DataFrame:
    """The label table of names, string [L], and of their texts where they have some apart."""
    if texts is None:
        texts = pl.Series([None], dtype=pl.String).new_from_index(0, len(names))
        if not names.str.contains(WHOLE_NUMBER).all():
            texts = names
    if names.n_unique() < len(names) or (names == "").any():
        names = pl.int_range(len(names), eager=True).cast(pl.String)
    table = pl.DataFrame([names.alias("label"), texts.alias("text")])
    return table.with_columns(pl.when(pl.col("text") != "").then(pl.col("text")))


def _read_lines(path: Path, encoding: str, least: int) -> tuple[pl.Series, pl.Series | None]:
    """The lines, stripped, or their ids and the rest of them.

    Blank lines at the end are no labels, unless there must be `least` of them.
    """
    blocks = list(lines_with_ids(path, encoding))
    texts = pl.concat([pl.Series([], dtype=pl.String), *(lines for _, lines in blocks)]).str.strip_chars()
    if blocks and blocks[0][0] is not None:
        return pl.concat([ids for ids, _ in blocks if ids is not None]), texts
    filled = (texts != "").arg_true()
    return texts.head(max(int(filled[-1]) + 1 if len(filled) else 0, least)), None


def _read_json(path: Path, options: LayoutOptions) -> tuple[pl.Series, pl.Series | None]:
    """uid, and the text of each label: those of the documents' fields that labels have, None without any."""
    frames = list(read_jsonl(path, Wanted((), ("uid", *options.fields)), options.encoding))
    rows = pl.concat(frames, how="diagonal") if frames else pl.DataFrame()
    fields = tuple(name for name in options.fields if name in rows.columns)
    if not fields and "uid" not in rows.columns:
        wanted = " or ".join(("uid", *options.fields))
        raise XmcpipeError(f"{path} has no {wanted}", "name the fields that hold text")
    nothing = pl.Series([""]).new_from_index(0, len(rows))
    uid = rows["uid"].fill_null("").str.strip_chars() if "uid" in rows.columns else nothing
    return uid, join_text(rows, fields, options.text_separator, path) if fields else None
