"""Responses of annotators as Argilla writes them: a list of labels, and a list with the status of each.

"topic.responses": ["art", "law"], "topic.responses.status": ["submitted", "discarded"]
"""

from collections import Counter
from itertools import compress
from pathlib import Path

import polars as pl

from xmcpipe.data.tables.labels.list_text import parse_lists
from xmcpipe.data.tables.selection import row_error

SUBMITTED, STATUSES = "submitted", ("submitted", "discarded", "draft")


def without_unsubmitted(
    rows: pl.DataFrame, documents: pl.DataFrame, labels: str, path: Path, first_row: int, counts: Counter[str]
) -> pl.DataFrame:
    """The documents without the labels whose response was not submitted; `counts` counts these.

    Raises XmcpipeError for a row with another number of statuses than of labels.
    """
    statuses = _statuses(rows, f"{labels}.status")
    if statuses is None or not statuses.list.eval(pl.element() != SUBMITTED).list.any().any():
        return documents
    kept: list[list[str]] = []
    for row, (names, states) in enumerate(
        zip(documents["labels"].to_list(), statuses.to_list(), strict=True)
    ):
        states = states or [SUBMITTED] * len(names)
        if len(states) != len(names) and set(states) != {SUBMITTED}:
            raise row_error(
                path,
                f"row {first_row + row + 1}",
                f"expected a status for each label in {labels}.status, got {len(states)} for {len(names)}",
                "keep only the responses that are submitted",
            )
        submitted = [state == SUBMITTED for state in states]
        kept.append(names if all(submitted) else list(compress(names, submitted)))
        counts["responses"] += len(names) - len(kept[-1])
    return documents.with_columns(pl.Series("labels", kept, pl.List(pl.String)))


def _statuses(rows: pl.DataFrame, name: str) -> pl.Series | None:
    """The lists of statuses, list<string> [n]; None if the column is absent, or another one."""
    if name not in rows.columns:
        return None
    column = rows[name]
    if column.dtype == pl.String:
        column, fault = parse_lists(column)
        if fault is not None:
            return None
    if column.dtype != pl.List(pl.String):
        return None
    known = column.list.eval(pl.element().is_in(STATUSES)).list.all().fill_null(True)
    return column if known.all() else None
