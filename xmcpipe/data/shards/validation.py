"""Checks of shard files of unknown origin: nothing that is read from them later can lead out of memory.

Arrow maps a file without looking at its contents. A damaged offset would make a batch read other memory, and
a damaged label would index the output layer out of bounds. A file is checked once per process, unless it
changes. The cost is one pass over its offsets, labels, terms and tokens.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from xmcpipe.errors import XmcpipeError

HINT = "run `xmcpipe tokenize` again"
PIECE = 1 << 22  # values that are compared at a time, so that memory holds few copies
# What was checked (path, size, time of the last change, L), and what require_valid returned.
_checked: dict[tuple[str, int, int, int], int] = {}


def require_valid(path: Path, batches: list[pa.RecordBatch], num_labels: int) -> int:
    """Check the values in the record batches of the shard `path`; returns 1 + the largest token id.

    Raises XmcpipeError unless offsets ascend within their values, nothing is null, ids are UTF-8, token ids
    are 0 or more, and the labels of a document ascend, are distinct, and are below `num_labels`.
    """
    facts = path.stat()
    key = (str(path.absolute()), facts.st_size, facts.st_mtime_ns, num_labels)
    if key in _checked:
        return _checked[key]
    num_tokens = 0
    try:
        for batch in batches:
            batch.validate(full=True)
            num_tokens = max(num_tokens, _check(batch, num_labels))
    except (pa.ArrowException, ValueError) as error:
        raise XmcpipeError(f"{path} is damaged: {error}", HINT) from error
    _checked[key] = num_tokens
    return num_tokens


def num_labels_of(folder: Path) -> int:
    """L, the number of rows of the artifact's labels.parquet; the largest possible one if there is none.

    Raises XmcpipeError if the file can't be read.
    """
    path = folder / "labels.parquet"
    if not path.is_file():
        return 1 << 31
    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError) as error:
        raise XmcpipeError(f"{path} can't be read as a vocabulary: {error}", HINT) from error


def _check(batch: pa.RecordBatch, num_labels: int) -> int:
    """Raise ValueError for values that no shard has; returns 1 + the largest token id."""
    for name in batch.schema.names:
        column = batch.column(name)
        if column.null_count or (pa.types.is_list(column.type) and column.values.null_count):
            raise ValueError(f"the column {name} has nulls")
    tokens = batch.column("input_ids")
    num_tokens = 0
    for begin, values in _pieces(tokens):
        if int(values.min()) < 0:
            raise ValueError(f"token {begin + int(values.argmin())} has the id {int(values.min())}")
        num_tokens = max(num_tokens, int(values.max()) + 1)
    _check_labels(batch.column("labels"), num_labels)
    if "terms" in batch.schema.names:
        _check_terms(batch)
    return num_tokens


def _check_labels(labels: pa.ListArray, num_labels: int) -> None:
    starts = np.zeros(len(labels.values) + 1, np.bool_)
    starts[labels.offsets.to_numpy()] = True  # where the labels of a document begin
    last = -1
    for begin, values in _pieces(labels):
        if int(values.min()) < 0 or int(values.max()) >= num_labels:
            wrong = int(values.min()) if int(values.min()) < 0 else int(values.max())
            raise ValueError(f"expected labels below {num_labels:,}, got {wrong:,}")
        falls = np.diff(values, prepend=values.dtype.type(last)) <= 0
        if np.any(falls & ~starts[begin : begin + len(values)]):
            raise ValueError("expected the labels of a document in ascending order, each once")
        last = int(values[-1])


def _check_terms(batch: pa.RecordBatch) -> None:
    terms, counts = batch.column("terms"), batch.column("term_counts")
    if not np.array_equal(np.diff(terms.offsets.to_numpy()), np.diff(counts.offsets.to_numpy())):
        raise ValueError("a document has more terms than counts of terms")
    if not all(values.all() for _, values in _pieces(counts)):
        raise ValueError("a term has the count 0")


def _pieces(column: pa.ListArray) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """Yield (position of the first value, one or more values) of a column of lists, some at a time."""
    values = column.values.to_numpy(zero_copy_only=True)
    for begin in range(0, len(values), PIECE):
        yield begin, values[begin : begin + PIECE]
