"""Reads raw text of the XC repository: a JSON object per line, with uid, title, content and target_ind."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from xmcpipe.data.layouts.layout import LayoutOptions
from xmcpipe.data.layouts.readers.ids import DocumentIds
from xmcpipe.data.tables.formats import join_text
from xmcpipe.data.tables.jsonl import read_jsonl
from xmcpipe.data.tables.selection import Selection
from xmcpipe.errors import XmcpipeError

LABELS = "target_ind"


def read_xc_json(path: Path, table: pl.DataFrame | None, options: LayoutOptions) -> Iterator[pl.DataFrame]:
    """Yield the documents of a JSON file in batches: `id`, `text`, `labels` list<int32> (see DocumentSet).

    The id of a document is its uid, made distinct by `DocumentIds`. Raises the errors of `read_jsonl`, and
    XmcpipeError for a label that is not in the label `table`, and for a file without the fields of `options`.
    """
    selection = Selection((*options.fields, LABELS), ("uid",), whole_numbers=frozenset([LABELS]))
    limit = 2**31 - 1 if table is None else len(table)
    names, row = DocumentIds(), 0
    for rows in read_jsonl(path, selection, options.encoding):
        if rows.is_empty():
            continue
        labels = rows[LABELS].list.drop_nulls().fill_null([])
        _require_labels(labels, limit, path, row)
        ids = names.next(rows["uid"] if "uid" in rows.columns else None, len(rows))
        text = join_text(rows, options.fields, options.text_separator, path)
        yield pl.DataFrame(
            [ids.alias("id"), text.alias("text"), labels.cast(pl.List(pl.Int32)).alias("labels")]
        )
        row += len(rows)


def _require_labels(labels: pl.Series, limit: int, path: Path, first_row: int) -> None:
    """Raise XmcpipeError, with the row, for a label that is not in [0, limit)."""
    wrong = (labels.list.min() < 0) | (labels.list.max() >= limit)
    if wrong.any():
        row = int(wrong.fill_null(False).arg_max() or 0)
        raise XmcpipeError(
            f"{path}, row {first_row + row + 1}: expected labels from 0 to {limit - 1:,} in {LABELS}, "
            f"got {labels[row].to_list()[:8]}",
            "check that the file of label names belongs to the same dataset",
        )
