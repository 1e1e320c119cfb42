"""Tokenized documents as Arrow IPC files, written in order and read memory-mapped.

A reader holds a few small arrays for the whole split (a length, a label count and two offsets per document);
tokens and labels stay on disk until a batch reads them. It uses only pyarrow and NumPy, so that training runs
without polars and faiss.

Legend: B documents of a batch · N documents of a split · P (document, label) pairs.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from xmcpipe.artifacts.versions import SHARDS_VERSION
from xmcpipe.data.arrays import concatenate, row_offsets
from xmcpipe.data.schema import SHARD
from xmcpipe.errors import XmcpipeError

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
SPLITS = ("train", "test", "label")


def shard_path(folder: Path, split: str, number: int) -> Path:
    """The path of shard `number` (from 0) of a split."""
    return folder / f"{split}-{number:05d}.arrow"


class ShardWriter:
    """Writes one shard file, batch by batch: `with ShardWriter(path) as shard: shard.write(...)`."""

    def __init__(self, path: Path) -> None:
        self._file = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._file, SHARD)

    def write(self, ids: pa.Array, input_ids: pa.ListArray, labels: pa.ListArray) -> None:
        """Append documents: `ids` string, `input_ids` list<int32>, `labels` list<int32>, sorted, distinct."""
        self._writer.write_batch(pa.record_batch([ids, input_ids, labels], schema=SHARD))

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()
        self._file.close()


class ListColumn:
    """A column of integer lists in memory-mapped batches; rows are read without copying the column.

    `lengths`, int32 [N], has the length of each list.
    """

    def __init__(self, batches: list[pa.ListArray]) -> None:
        self._values = [_numpy(batch.values) for batch in batches]
        offsets = [_numpy(batch.offsets).astype(np.int64) for batch in batches]
        counts = [len(batch) for batch in batches]
        # Per batch: its first row in the column. Per row: the position of its first value in its batch.
        self._first_row = np.cumsum([0, *counts])
        self._starts: Int64s = concatenate([offset[:-1] for offset in offsets], np.int64)
        self.lengths: Int32s = concatenate([np.diff(offset) for offset in offsets], np.int32)

    def gather(self, rows: Int64s) -> tuple[Int32s, Int32s]:
        """The lists of `rows`, int64 [B]: their values end to end, int32, and their lengths, int32 [B]."""
        lengths = self.lengths[rows]
        ends = np.cumsum(lengths, dtype=np.int64)
        values = np.empty(int(ends[-1]) if len(ends) else 0, np.int32)
        batch_of_row = np.searchsorted(self._first_row, rows, side="right") - 1
        within = np.arange(len(values)) - np.repeat(ends - lengths, lengths)  # 0, 1, … inside each list
        source = np.repeat(self._starts[rows], lengths) + within
        batch_of_value = np.repeat(batch_of_row, lengths)
        # One indexed read for each memory-mapped batch that contains any of the rows.
        for batch in np.unique(batch_of_row):
            here = batch_of_value == batch
            values[here] = self._values[batch][source[here]]
        return values, lengths

    def flat(self) -> Iterator[tuple[Int32s, Int32s]]:
        """Yield (values, lengths) of each batch, in order: int32 [sum of lengths] and int32 [rows]."""
        for number, values in enumerate(self._values):
            first, last = self._first_row[number], self._first_row[number + 1]
            lengths = self.lengths[first:last]
            start = int(self._starts[first]) if last > first else 0
            yield values[start : start + int(lengths.sum(dtype=np.int64))], lengths


class Shards:
    """One or more splits (train, test, label) of a shards artifact, end to end, memory-mapped.

    `tokens` and `labels` are ListColumns of all N rows. A split without files is empty. Raises XmcpipeError
    for a file that isn't a shard, or has another schema version.
    """

    def __init__(self, folder: Path, *splits: str) -> None:
        self.folder = folder
        paths = [path for split in splits for path in sorted(folder.glob(f"{split}-*.arrow"))]
        batches = [batch for path in paths for batch in _open(path)]
        self._ids = [batch.column("id") for batch in batches]
        self.tokens = ListColumn([batch.column("input_ids") for batch in batches])
        self.labels = ListColumn([batch.column("labels") for batch in batches])

    def __len__(self) -> int:
        return len(self.tokens.lengths)

    @property
    def lengths(self) -> Int32s:
        """Number of tokens of each document, int32 [N]."""
        return self.tokens.lengths

    def ids(self) -> pa.ChunkedArray:
        """The ids of the documents, string [N]."""
        return pa.chunked_array(self._ids, pa.string())

    def label_csr(self) -> tuple[Int64s, Int32s]:
        """The label matrix: indptr int64 [N + 1] and indices int32 [P]."""
        indices = concatenate([values for values, _ in self.labels.flat()], np.int32)
        return row_offsets(self.labels.lengths), indices


def _open(path: Path) -> list[pa.RecordBatch]:
    """The record batches of a shard file, memory-mapped. Raises XmcpipeError for any other file."""
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
    except (pa.ArrowInvalid, OSError) as error:
        raise XmcpipeError(
            f"{path} can't be read as a shard: {error}", "run `xmcpipe tokenize` again"
        ) from error
    version = (reader.schema.metadata or {}).get(b"xmcpipe.shards", b"none").decode()
    if version != str(SHARDS_VERSION) or not reader.schema.equals(SHARD):
        raise XmcpipeError(
            f"{path}: expected shard format {SHARDS_VERSION}, got {version}",
            "run `xmcpipe tokenize` again",
        )
    return [reader.get_batch(number) for number in range(reader.num_record_batches)]


def _numpy(array: pa.Array) -> npt.NDArray[Any]:
    return np.asarray(array.to_numpy(zero_copy_only=True))
