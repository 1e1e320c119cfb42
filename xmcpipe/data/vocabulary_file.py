"""Reads labels.parquet, the label vocabulary of an artifact, when a stranger may have written it; copies it.

The columns are label string, and text string or null; row i is label id i. The copy in a model also has the
number of training documents of each label.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from xmcpipe.data.parquet import ParquetFileWriter
from xmcpipe.errors import XmcpipeError, require_file

COUNTS, MOST_DOCUMENTS = "documents", (1 << 31) - 1
BATCH_ROWS = 1 << 12
MOST_BYTES = 1 << 26  # a table may take this, or 64 times the size of its file


def read_vocabulary(folder: Path, num_labels: int | None = None) -> pa.Table:
    """The table of `folder`/labels.parquet: `label` string without nulls, and `text` string.

    Raises XmcpipeError for a missing or unreadable file, missing columns, columns of other types, text that
    isn't UTF-8, far more bytes than the file has, and any other number of labels than `num_labels`.
    """
    path = require_file(folder / "labels.parquet", "vocabulary")
    try:
        with pq.ParquetFile(path) as file:
            rows, schema = file.metadata.num_rows, file.schema_arrow
            if num_labels not in (None, rows):
                raise ValueError(f"expected {num_labels:,} labels, got {rows:,}")
            for name in ("label", "text"):
                # A label text may be missing from all labels: then the column may have the type null.
                kind = schema.field(name).type if name in schema.names else None
                if kind not in (pa.string(), pa.large_string()) and not (
                    name == "text" and kind == pa.null()
                ):
                    raise ValueError(f"expected strings in a column {name!r}, got {kind}")
            return _read(file, max(MOST_BYTES, 64 * path.stat().st_size))
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise XmcpipeError(f"{path} can't be read as a vocabulary: {error}", "run the stage again") from error


def write_counted(source: Path, counts_L: npt.NDArray[np.integer[Any]], out: Path) -> None:
    """Copy the vocabulary `source` in batches, with a column `documents`, int32: the counts of all labels."""
    counts, begin = pa.array(counts_L.astype(np.int32)), 0
    with pq.ParquetFile(source) as file:
        schema = file.schema_arrow.append(pa.field(COUNTS, pa.int32()))
        with ParquetFileWriter(out, schema) as writer:
            for batch in file.iter_batches():
                column = counts.slice(begin, len(batch))
                writer.write_batch(pa.RecordBatch.from_arrays([*batch.columns, column], schema=schema))
                begin += len(batch)


def read_label_documents(folder: Path) -> npt.NDArray[np.int64] | None:
    """The number of training documents of each label, int64 [L]; None without such a column.

    Raises XmcpipeError for a file that can't be read, and for other values.
    """
    path = require_file(folder / "labels.parquet", "vocabulary")
    try:
        with pq.ParquetFile(path) as file:
            if COUNTS not in file.schema_arrow.names:
                return None
            kind = file.schema_arrow.field(COUNTS).type
            if not pa.types.is_integer(kind):
                raise ValueError(f"expected whole numbers in a column {COUNTS!r}, got {kind}")
            column = file.read([COUNTS])[COUNTS]
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise XmcpipeError(f"{path} can't be read as a vocabulary: {error}", "run the stage again") from error
    counts = column.to_numpy() if not column.null_count else np.array([-1])
    if len(counts) and not 0 <= counts.min() <= counts.max() <= MOST_DOCUMENTS:
        got = "null" if column.null_count else f"{counts.min():,} to {counts.max():,}"
        raise XmcpipeError(
            f"{path}: expected numbers of documents in a column {COUNTS!r}, got {got}", "run the stage again"
        )
    return counts.astype(np.int64)


def _read(file: Any, most: int) -> pa.Table:
    """The two columns, in small batches: a page may hold one long text many times over."""
    batches, size = [], 0
    for batch in file.iter_batches(BATCH_ROWS, columns=["label", "text"]):
        batch.validate(full=True)
        size += batch.nbytes
        if size > most:
            raise ValueError(f"it unpacks to more than {most:,} bytes")
        if batch["label"].null_count:
            raise ValueError("a label has no name")
        batches.append(batch)
    schema = pa.schema([("label", pa.string()), ("text", pa.string())])
    return (
        (pa.Table.from_batches(batches) if batches else schema.empty_table())
        .select(["label", "text"])
        .cast(schema)
    )
