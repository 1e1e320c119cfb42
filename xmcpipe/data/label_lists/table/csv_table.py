"""Reads label lists from CSV and TSV: a row per document, or a row per label of a document.

    id,labels,scores        labels and scores are lists saved as text, or separated (cells.py)
    id,label,score          several rows per document, in any order; `rank` may replace the score

Columns are found by name (column_names.py). Between columns are commas, tabs in .tsv, or what the header
shows: spreadsheets of many countries write semicolons. The file is read whole.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.csv

from xmcpipe.data.label_lists.table.cells import Cells, read_cells, read_scores, read_single
from xmcpipe.data.label_lists.table.column_names import (
    IDS,
    LABEL,
    LABELS,
    LAYOUTS,
    PREDICTED,
    PREDICTED_ONE,
    SCORES,
    id_column,
    label_columns,
    rank_column,
    require_one_list,
    score_column,
)
from xmcpipe.data.label_lists.table.other_columns import (
    Columns,
    doubt_about_index,
    doubts_about_numbers,
    list_columns,
    require_confirmed,
)
from xmcpipe.data.label_lists.text.decoding import decoded_blocks
from xmcpipe.data.tables.checks.first_rows import (
    Dialect,
    header_names,
    numbered_rows,
    require_first_header,
    way_out_of_row,
    without_note,
)
from xmcpipe.data.tables.checks.header_levels import require_one_header
from xmcpipe.data.tables.checks.opening import unpacked_name
from xmcpipe.data.tables.checks.type_rows import require_no_types
from xmcpipe.data.tables.checks.written import require_delimited
from xmcpipe.data.tables.delimited import likely_delimiter
from xmcpipe.data.tables.quotes import QuoteScanner
from xmcpipe.errors import XmcpipeError


@dataclass(frozen=True)
class CsvTable:
    """The columns labels and, if the file has them, id and scores; and how the labels were read.

    `order` is what to say of the order of the rows, if it matters.
    """

    batch: pa.RecordBatch
    cells: Cells
    notes: tuple[str, ...]
    order: str = ""


def read_csv_table(path: Path, ranked: bool) -> CsvTable:
    """Read a table; with `ranked`, labels must have an order.

    Raises XmcpipeError for a file that isn't a table, for missing columns, and for a cell of no known form.
    """
    text = "".join(block for _, block in decoded_blocks(path))
    table, ids_from, others = _known(path, text, ranked)
    if "label" in table.columns and "id" in table.columns and table["id"].n_unique() < len(table):
        notes: tuple[str, ...] = ()
        if not {"scores", "rank"} & set(table.columns):
            columns = table["id"].to_list(), table["label"].str.strip_chars().to_list()
            notes = tuple(doubts_about_numbers(path, *columns, others, ranked))
        found = _by_document(path, table, ids_from)
        return replace(found, notes=(*found.notes, *notes))
    column = table["labels" if "labels" in table.columns else "label"]
    cells = read_cells(str(path), column.to_list(), ranked)
    scores, note = cells.scores, ""
    if scores is None and "scores" in table.columns:
        scores, note = read_scores(str(path), table["scores"].to_list(), list(map(len, cells.labels)))
    ids = table["id"].to_list() if "id" in table.columns else None
    order = "" if ids is not None else doubt_about_index(path, others)
    return CsvTable(_batch(path, ids, cells.labels, scores), cells, _notes(cells.note, note), order)


def has_columns(path: Path) -> bool:
    """Whether the first line of a file with tabs names columns: one of labels, or one that holds no label."""
    _, text = next(decoded_blocks(path), (1, ""))
    names = [name.strip().lower() for name in text.partition("\n")[0].split("\t")]
    known = {*IDS, *SCORES, *PREDICTED, *PREDICTED_ONE, *LABELS, *LABEL, "text", "title", "subject_uris"}
    return len(names) == 1 or bool(known.intersection(names))


def _notes(*notes: str) -> tuple[str, ...]:
    return tuple(note for note in notes if note)


# Long: it chooses the columns, and the checks need what was chosen and what was not.
def _known(path: Path, text: str, ranked: bool) -> tuple[pl.DataFrame, str | None, Columns]:
    """The columns that are read, under our names; the name of that of ids in the file; and other columns.

    Raises XmcpipeError for predictions with another column of lists than the labels.
    """
    text, noted = without_note(text)
    default = noted or ("\t" if unpacked_name(path).endswith(".tsv") else ",")

    def named(names: list[str]) -> bool:
        return any(label_columns(path, names, ranked))

    found = likely_delimiter(path, text, default, named)
    if found is None:
        columns = header_names(path, text, default)
        require_first_header(path, text, columns, Dialect(default, quotes="double"), named, bool(noted))
        require_delimited(path, text)
        shown = ", ".join(repr(name[:40]) for name in columns[:8]) + (", …" if len(columns) > 8 else "")
        raise XmcpipeError(
            f"{path}: expected a column 'labels' or 'label' in the first line, got {shown or 'none'}",
            f"{LAYOUTS}; save one column per label as .npy; end the name of a file without columns in .txt",
        )
    delimiter, names = found
    if delimiter == "|":  # as in tables of Markdown and of wikis
        require_delimited(path, text)
    require_no_types(path, numbered_rows(text, delimiter), header=True, first_line=2 if noted else 1)
    require_one_header(path, numbered_rows(text, delimiter), first_line=2 if noted else 1)
    several, one = label_columns(path, names, ranked)
    chosen = {
        "id": id_column(path, names),
        "labels": several,
        "label": None if several else one,
        # Another column of numbers beside a truth may be anything; in a row per label it is its relevance.
        "scores": score_column(path, names, names if ranked or not several else ()),
        "rank": rank_column(path, names),
    }
    table = _parsed(path, text, names, delimiter)
    known = table.select(
        pl.nth(names.index(column)).alias(name) for name, column in chosen.items() if column is not None
    )
    if "id" in known.columns:
        known = known.with_columns(pl.col("id").str.strip_chars())
    unused = [at for at, name in enumerate(names) if name not in chosen.values()]
    others = [(names[at], table[str(at)].to_list()) for at in unused]
    if not ranked:
        require_confirmed(path, others)
    if ranked and several is not None and several.strip().lower() in LABELS:
        lists = list_columns(others, known["labels"].to_list(), chosen["scores"] is not None)
        require_one_list(path, several, list(lists), (), chosen["scores"])
    return known, chosen["id"], others


def _parsed(path: Path, text: str, names: list[str], delimiter: str) -> pl.DataFrame:
    """All columns as strings, called 0, 1, …"""
    quotes = QuoteScanner(path, delimiter)
    hint = "close it, or write it twice inside a quoted value"
    try:
        if quotes.scan(text, "\n"):
            raise quotes.error("is never closed")
    except XmcpipeError as error:
        raise XmcpipeError(error.message, hint) from error
    data, numbers = text.encode(), [str(number) for number in range(len(names))]
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(data),
            # One thread and one block: only then does pyarrow's error name the row.
            pyarrow.csv.ReadOptions(
                use_threads=False, block_size=len(data) + 1, column_names=numbers, skip_rows_after_names=1
            ),
            # In a table of one column, a blank line is a document without labels.
            pyarrow.csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, ignore_empty_lines=len(names) > 1
            ),
            pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(numbers, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowException as error:
        raise _bad_row(path, error, text, len(names), delimiter) from error
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _bad_row(path: Path, error: Exception, text: str, columns: int, delimiter: str) -> XmcpipeError:
    found = re.search(r"Row #(\d+): (.*)", str(error), re.DOTALL)
    if found is None:
        return XmcpipeError(f"{path} can't be read as a table: {error}", "check the file")
    hint = f"put a value that holds {delimiter!r} in double quotes, without a blank before them"
    hint += way_out_of_row(found[2].partition(": ")[2], text, columns, delimiter)
    return XmcpipeError(f"{path}, row {int(found[1]) - 2}: {found[2].strip()[:120]}", hint)


def _by_document(path: Path, table: pl.DataFrame, ids_from: str | None) -> CsvTable:
    """Collect the rows of each document, in the order in which documents occur first."""
    grouped_by = ""
    if ids_from is not None and ids_from.strip().lower() not in IDS:
        grouped_by = f"{path}: rows of the same {ids_from!r} are read as one document"
    cells = read_single(str(path), table["label"].to_list(), LAYOUTS)
    columns: dict[str, Any] = {"id": table["id"], "labels": [row[0] if row else None for row in cells.labels]}
    note = ""
    # Of `rank`, the smallest is the best.
    for name, sign in (("scores", 1), ("rank", -1)):
        if name in table.columns and "scores" not in columns:
            numbers, note = read_scores(str(path), table[name].to_list(), list(map(len, cells.labels)))
            columns["scores"] = [sign * row[0] if len(row) == 1 else None for row in numbers]
    if {"scores", "rank"} <= set(table.columns):
        _require_agreement(path, table, columns["scores"])
    try:
        grouped = pl.DataFrame(columns).group_by("id", maintain_order=True).agg(pl.all())
    except (pl.exceptions.PolarsError, TypeError) as error:
        raise XmcpipeError(f"{path}: labels are of several types: {error}", LAYOUTS) from error
    labels = grouped["labels"].to_list()
    scores = None
    if "scores" in columns:
        scores = [
            [value for value, label in zip(row, names, strict=True) if label is not None]
            for row, names in zip(grouped["scores"].to_list(), labels, strict=True)
        ]
    labels = [[label for label in row if label is not None] for row in labels]
    batch = _batch(path, grouped["id"].to_list(), labels, scores)
    return CsvTable(batch, cells, _notes(grouped_by, cells.note, note))


def _require_agreement(path: Path, table: pl.DataFrame, scores: list[float | None]) -> None:
    """Raise XmcpipeError if scores mostly rise with the rank: then they are distances."""
    ranks = table["rank"].cast(pl.Float64, strict=False)
    known = pl.DataFrame({"id": table["id"], "rank": ranks, "score": pl.Series(scores, dtype=pl.Float64)})
    steps = known.drop_nulls().sort("id", "rank").with_columns(step=pl.col("score").diff().over("id"))["step"]
    if int((steps > 0).sum()) > int((steps < 0).sum()):
        raise XmcpipeError(
            f"{path}: expected scores that fall with the rank, got scores that rise: are they distances?",
            "remove one of the two columns, or give scores of which the highest is the best",
        )


def _batch(
    path: Path, ids: list[str] | None, labels: list[list[Any]], scores: list[list[float]] | None
) -> pa.RecordBatch:
    columns: dict[str, pa.Array] = {} if ids is None else {"id": pa.array(ids, pa.string())}
    try:
        columns["labels"] = pa.array(labels)
    except (pa.ArrowException, OverflowError) as error:
        raise XmcpipeError(f"{path}: labels are of several types: {error}", "write ids or names") from error
    if not any(labels):
        columns["labels"] = pa.array(labels, pa.list_(pa.int64()))
    if scores is not None:
        columns["scores"] = pa.array(scores, pa.list_(pa.float64()))
    return pa.record_batch(columns)
