"""Reads label lists from CSV and TSV: a row per document, or a row per label of a document.

    id,labels,scores        labels and scores are lists saved as text, or separated (cells.py)
    id,label,score          several rows per document, in any order; `rank` may replace the score

Columns are found by name, in upper or lower case. The file is read whole.
"""

from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from xmcpipe.data.label_lists.cells import Cells, read_cells, read_scores
from xmcpipe.errors import XmcpipeError

NAMES = {  # the columns that are read, under the names that people give them
    "id": ("id", "doc_id", "document_id", "document"),
    "labels": ("labels", "predictions", "predicted_labels"),
    "label": ("label", "prediction", "predicted_label"),
    "scores": ("scores", "score", "probability", "probabilities"),
    "rank": ("rank",),
}
LAYOUTS = "columns are id, labels and scores; or id, label and score, with a row per label"


def read_csv_table(path: Path, ranked: bool) -> tuple[pa.RecordBatch, Cells]:
    """The columns labels and, if the file has them, id and scores; and how the labels were read.

    With `ranked`, labels must have an order. Raises XmcpipeError for a file that isn't a table, for missing
    columns, and for a cell of no known form.
    """
    tabs = path.name.removesuffix(".gz").lower().endswith(".tsv")
    try:
        table = pl.read_csv(path, separator="\t" if tabs else ",", infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise XmcpipeError(f"{path} can't be read as a table: {error}", "check the file") from error
    if any("\r" in column for column in table.columns):
        raise XmcpipeError(
            f"{path}: expected lines that end with a line feed, got carriage returns alone",
            "convert the file",
        )
    table = _known(path, table)
    if "label" in table.columns and "id" in table.columns and table["id"].n_unique() < len(table):
        return _by_document(path, table, ranked)
    column = table["labels" if "labels" in table.columns else "label"]
    cells = read_cells(str(path), column.to_list(), ranked)
    scores = cells.scores
    if scores is None and "scores" in table.columns:
        scores = read_scores(str(path), table["scores"].to_list())
    ids = table["id"].to_list() if "id" in table.columns else None
    return _batch(path, ids, cells.labels, scores), cells


def _known(path: Path, table: pl.DataFrame) -> pl.DataFrame:
    """The columns that are read, under our names, without nulls."""
    by_name = {column.strip().lower(): column for column in reversed(table.columns)}
    found = {
        name: next((by_name[spelling] for spelling in spellings if spelling in by_name), None)
        for name, spellings in NAMES.items()
    }
    if found["labels"] is None and found["label"] is None:
        columns = ", ".join(map(repr, table.columns[:8])) + (", …" if table.width > 8 else "")
        raise XmcpipeError(
            f"{path}: expected a column 'labels' or 'label', got {columns}",
            f"{LAYOUTS}; save one column per label as .npy",
        )
    chosen = {name: column for name, column in found.items() if column is not None}
    if "labels" in chosen:
        chosen.pop("label", None)
    return table.select(pl.col(column).fill_null("").alias(name) for name, column in chosen.items())


def _by_document(path: Path, table: pl.DataFrame, ranked: bool) -> tuple[pa.RecordBatch, Cells]:
    """Collect the rows of each document, in the order in which documents occur first."""
    cells = read_cells(str(path), table["label"].to_list(), ranked)
    if any(len(row) != 1 for row in cells.labels):
        row = next(at for at, row in enumerate(cells.labels) if len(row) != 1)
        raise XmcpipeError(
            f"{path}, row {row}: expected one label, since documents have several rows, got "
            f"{table['label'][row]!r}",
            LAYOUTS,
        )
    columns: dict[str, Any] = {"id": table["id"], "labels": [row[0] for row in cells.labels]}
    # Of `rank`, the smallest is the best.
    for name, sign in (("scores", 1), ("rank", -1)):
        if name in table.columns and "scores" not in columns:
            numbers = read_scores(str(path), table[name].to_list())
            columns["scores"] = [sign * row[0] if len(row) == 1 else None for row in numbers]
    try:
        grouped = pl.DataFrame(columns).group_by("id", maintain_order=True).agg(pl.all())
    except (pl.exceptions.PolarsError, TypeError) as error:
        raise XmcpipeError(f"{path}: labels are of several types: {error}", LAYOUTS) from error
    scores = grouped["scores"].to_list() if "scores" in columns else None
    return _batch(path, grouped["id"].to_list(), grouped["labels"].to_list(), scores), cells


def _batch(
    path: Path, ids: list[str] | None, labels: list[list[Any]], scores: list[list[float]] | None
) -> pa.RecordBatch:
    columns: dict[str, pa.Array] = {} if ids is None else {"id": pa.array(ids, pa.string())}
    try:
        columns["labels"] = pa.array(labels)
    except pa.ArrowException as error:
        raise XmcpipeError(f"{path}: labels are of several types: {error}", "write ids or names") from error
    if not any(labels):
        columns["labels"] = pa.array(labels, pa.list_(pa.int64()))
    if scores is not None:
        columns["scores"] = pa.array(scores, pa.list_(pa.float64()))
    return pa.record_batch(columns)
