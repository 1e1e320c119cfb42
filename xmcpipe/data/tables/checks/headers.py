"""Finds headers that were read as documents, in the first line or in the middle of a table."""

from pathlib import Path

import polars as pl

from xmcpipe.data.tables.selection import row_error
from xmcpipe.errors import XmcpipeError

TEXTS = ("text", "texts", "title", "content", "document", "sentence", "body", "abstract", "description")
LABELS = (
    *("label", "labels", "tag", "tags", "subject", "subjects"),
    *("category", "categories", "class", "classes"),
)
NAMES = (*LABELS, "name", "names")  # of the column of names in a label table


def require_no_header(
    path: Path, text: pl.Series, labels: pl.Series, names: tuple[str, str], first_row: int
) -> None:
    """Raise XmcpipeError for a row that is the header once more, as joined files have it.

    `text` string [n], `labels` list<string> [n], and the `names` of their columns; `first_row` is from 0.
    """
    text_name, label_name = names
    found = (text == text_name) & (labels.list.len() == 1) & (labels.list.first() == label_name)
    if found.any():
        row = first_row + int(found.arg_max() or 0) + 1
        raise row_error(
            path,
            f"row {row}",
            f"expected a document, got the header again: {text_name!r}, {label_name!r}",
            "remove this row",
        )


def require_document(path: Path, text: str, labels: list[str], way_out: str) -> None:
    """Raise XmcpipeError if the first document of a file without a header line is a header."""
    names = [label.lower() for label in labels]
    if text.lower() in TEXTS and len(names) == 1 and names[0] in LABELS:
        raise XmcpipeError(
            f"{path}: expected a document in the first line, got a header: {text!r}, {labels[0]!r}", way_out
        )
