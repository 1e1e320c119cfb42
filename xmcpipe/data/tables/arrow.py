"""Reads Parquet and Arrow IPC in batches, and the names of classes that Hugging Face stores in them.

Arrow IPC is a file or a stream; `datasets` saves streams (.arrow), pandas files (.feather).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet

from xmcpipe.data.list_views import without_views
from xmcpipe.data.tables.checks.foreign import foreign_kind, head_of
from xmcpipe.data.tables.selection import Selection
from xmcpipe.errors import XmcpipeError
from xmcpipe.json_file import parse_json

BATCH_ROWS = 1 << 15  # maximum number of rows of a batch
MAGIC = b"ARROW1"  # the first bytes of an Arrow file; a stream has none
# ValueError: names of columns that aren't UTF-8.
FAULTS = (pa.ArrowException, OSError, ValueError, pl.exceptions.PolarsError)


def read_parquet(path: Path, selection: Selection) -> Iterator[pl.DataFrame]:
    """Yield the selected columns of a Parquet file in batches. Raises XmcpipeError for an unreadable file."""
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            present = selection.present_in(file.schema_arrow.names, path)
            for batch in file.iter_batches(BATCH_ROWS, columns=present):
                _require_valid(batch, present, path)
                yield _frame(batch, present)
    except FAULTS as error:
        raise _unreadable(path, "Parquet", error) from error


def read_ipc(path: Path, selection: Selection) -> Iterator[pl.DataFrame]:
    """Yield the selected columns of an Arrow file or stream in batches.

    Raises XmcpipeError for an unreadable file.
    """
    try:
        with pa.memory_map(str(path)) as source:
            schema, batches = _open_ipc(source, path)
            present = selection.present_in(schema.names, path)
            for batch in batches:
                _require_valid(batch, present, path)
                for first in range(0, batch.num_rows, BATCH_ROWS):
                    yield _frame(batch.slice(first, BATCH_ROWS), present)
    except FAULTS as error:
        raise _unreadable(path, "Arrow", error) from error


def class_names(path: Path, format_: str, column: str) -> tuple[str, ...] | None:
    """The names of the classes that `column` numbers, as Hugging Face stores them in the file; None if none.

    Raises XmcpipeError for an unreadable file.
    """
    try:
        if format_ == "parquet":
            metadata = pyarrow.parquet.read_schema(path).metadata
        else:
            with pa.memory_map(str(path)) as source:
                metadata = _open_ipc(source, path)[0].metadata
    except FAULTS as error:
        raise _unreadable(path, format_.capitalize(), error) from error
    try:
        features = parse_json((metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return _names_in(features[column])
    except (ValueError, KeyError, TypeError):
        return None


def _names_in(feature: Any) -> tuple[str, ...] | None:
    """The names in a ClassLabel, alone or in a list of any spelling: {"feature": …} or [ … ]."""
    while True:
        if isinstance(feature, list) and len(feature) == 1:
            feature = feature[0]
        elif isinstance(feature, dict) and "feature" in feature:
            feature = feature["feature"]
        else:
            break
    if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and feature.get("names"):
        return tuple(str(name).strip() for name in feature["names"])
    return None


def _open_ipc(source: Any, path: Path) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The schema of an Arrow file or stream, and its batches."""
    if source.read(len(MAGIC)) == MAGIC:
        file = pa.ipc.open_file(source)
        return file.schema, (file.get_batch(number) for number in range(file.num_record_batches))
    source.seek(0)
    stream = pa.ipc.open_stream(source)
    return stream.schema, iter(stream)


def _require_valid(batch: pa.RecordBatch, present: list[str], path: Path) -> None:
    """Raise XmcpipeError if a column holds text that isn't UTF-8, or places outside of its values.

    Arrow doesn't check either when it reads; polars would panic, or read other memory.
    """
    for name in present:
        try:
            batch.column(name).validate(full=True)
        except pa.ArrowInvalid as error:
            hint = "check that the file is complete, and write text as UTF-8"
            raise XmcpipeError(f"{path}, column {name!r}: {error}", hint) from error


def _frame(batch: pa.RecordBatch, present: list[str]) -> pl.DataFrame:
    """The columns `present` as polars reads them; it has no list views, so these become lists."""
    columns = {name: without_views(batch.column(name)) for name in present}
    frame = pl.from_arrow(pa.table(columns))
    assert isinstance(frame, pl.DataFrame)
    return frame


def _unreadable(path: Path, what: str, error: Exception) -> XmcpipeError:
    if foreign := foreign_kind(head_of(path), what.lower()):
        return XmcpipeError(f"{path} can't be read as {what}: it is {foreign[0]}", foreign[1])
    return XmcpipeError(f"{path} can't be read as {what}: {error}", "check that the file is complete")
