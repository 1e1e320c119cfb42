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

from xmcpipe.data.arrays import concatenate, row_offsets
from xmcpipe.data.schema import SHARD, SHARD_WITH_TERMS
from xmcpipe.data.shards.validation import num_labels_of, require_valid
from xmcpipe.data.terms import Terms
from xmcpipe.errors import XmcpipeError, require_file

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
SPLITS = ("train", "test", "label")
VERSION = b"xmcpipe.shards"  # key of the schema's metadata


def shard_path(folder: Path, split: str, number: int) -> Path:
    """The path of shard `number` (from 0) of a split."""
    return folder / f"{split}-{number:05d}.arrow"


class ShardWriter:
    """Writes one shard file, batch by batch: `with ShardWriter(path) as shard: shard.write(...)`.

    With `has_terms` the documents have terms.
    """

    def __init__(self, path: Path, has_terms: bool = False) -> None:
        self._schema = SHARD_WITH_TERMS if has_terms else SHARD
        self._file = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._file, self._schema)

    def write(
        self, ids: pa.Array, input_ids: pa.ListArray, labels: pa.ListArray, terms: Terms | None = None
    ) -> None:
        """Append documents: `ids` string, `input_ids` list<int32>, `labels` list<int32>, sorted, distinct.

        `terms` are those of the documents, in a shard that has them.
        """
        columns = [ids, input_ids, labels]
        if terms is not None:
            offsets = pa.array(row_offsets(terms.lengths), pa.int32())
            columns += [pa.ListArray.from_arrays(offsets, pa.array(part)) for part in terms[:2]]
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()
        self._file.close()


class ListColumn:
    """A column of integer lists in memory-mapped batches; rows are read without copying the column.

    `lengths`, int32 [N], has the length of each list; `dtype` is that of the values.
    """

    def __init__(self, batches: list[pa.ListArray], dtype: npt.DTypeLike = np.int32) -> None:
        self._values, self._dtype = [_numpy(batch.values) for batch in batches], dtype
        offsets = [_numpy(batch.offsets).astype(np.int64) for batch in batches]
        counts = [len(batch) for batch in batches]
        # Per batch: its first row in the column. Per row: the position of its first value in its batch.
        self._first_row = np.cumsum([0, *counts])
        self._starts: Int64s = concatenate([offset[:-1] for offset in offsets], np.int64)
        self.lengths: Int32s = concatenate([np.diff(offset) for offset in offsets], np.int32)

    def gather(self, rows: Int64s) -> tuple[npt.NDArray[Any], Int32s]:
        """The lists of `rows`, int64 [B]: their values end to end, and their lengths, int32 [B]."""
        lengths = self.lengths[rows]
        ends = np.cumsum(lengths, dtype=np.int64)
        values = np.empty(int(ends[-1]) if len(ends) else 0, self._dtype)
        batch_of_row = np.searchsorted(self._first_row, rows, side="right") - 1
        within = np.arange(len(values)) - np.repeat(ends - lengths, lengths)  # 0, 1, … inside each list
        source = np.repeat(self._starts[rows], lengths) + within
        batch_of_value = np.repeat(batch_of_row, lengths)
        # One indexed read for each memory-mapped batch that contains any of the rows.
        for batch in np.unique(batch_of_row):
            here = batch_of_value == batch
            values[here] = self._values[batch][source[here]]
        return values, lengths

    def flat(self) -> Iterator[tuple[npt.NDArray[Any], Int32s]]:
        """Yield (values, lengths) of each batch, in order; lengths are int32 [rows]."""
        for number, values in enumerate(self._values):
            first, last = self._first_row[number], self._first_row[number + 1]
            lengths = self.lengths[first:last]
            start = int(self._starts[first]) if last > first else 0
            yield values[start : start + int(lengths.sum(dtype=np.int64))], lengths


class Shards:
    """One or more splits (train, test, label) of a shards artifact, end to end, memory-mapped.

    `tokens` and `labels` are ListColumns of all N rows. A split without files is empty. Raises XmcpipeError
    for a file that isn't a shard, has another schema version, or is damaged (see validation.py).
    """

    has_terms: bool
    """Whether the documents have terms (`terms`)."""

    num_tokens: int
    """1 + the largest token id; 0 without tokens."""

    def __init__(self, folder: Path, *splits: str) -> None:
        self.folder = folder
        paths = [path for split in splits for path in sorted(folder.glob(f"{split}-*.arrow"))]
        num_labels = num_labels_of(folder) if paths else 0
        opened = [_open(path, num_labels) for path in paths]
        batches = [batch for part, _ in opened for batch in part]
        self.num_tokens = max((num_tokens for _, num_tokens in opened), default=0)
        self._ids = [batch.column("id") for batch in batches]
        self.tokens = ListColumn([batch.column("input_ids") for batch in batches])
        self.labels = ListColumn([batch.column("labels") for batch in batches])
        self.has_terms = all("terms" in batch.schema.names for batch in batches)
        if self.has_terms:
            self._terms = ListColumn([batch.column("terms") for batch in batches], np.uint32)
            self._term_counts = ListColumn([batch.column("term_counts") for batch in batches], np.uint8)

    def __len__(self) -> int:
        return len(self.tokens.lengths)

    @property
    def lengths(self) -> Int32s:
        """Number of tokens of each document, int32 [N]."""
        return self.tokens.lengths

    @property
    def terms_per_document(self) -> float:
        """Mean number of different terms of a document; 0 for shards without terms."""
        return float(self._terms.lengths.mean()) if self.has_terms and len(self) else 0.0

    def terms(self, rows: Int64s) -> Terms:
        """The terms of the documents of `rows`, int64 [B]. Only for shards that have them."""
        codes, lengths = self._terms.gather(rows)
        return Terms(codes, self._term_counts.gather(rows)[0], lengths)

    def ids(self) -> pa.ChunkedArray:
        """The ids of the documents, string [N]."""
        return pa.chunked_array(self._ids, pa.string())

    def label_csr(self) -> tuple[Int64s, Int32s]:
        """The label matrix: indptr int64 [N + 1] and indices int32 [P]."""
        indices = concatenate([values for values, _ in self.labels.flat()], np.int32)
        return row_offsets(self.labels.lengths), indices


def _open(path: Path, num_labels: int) -> tuple[list[pa.RecordBatch], int]:
    """The record batches of a shard file, memory-mapped, and 1 + its largest token id.

    Raises XmcpipeError for any other file.
    """
    require_file(path, "shard")
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise XmcpipeError(
            f"{path} can't be read as a shard: {error}", "run `xmcpipe tokenize` again"
        ) from error
    known = {schema.metadata[VERSION]: schema for schema in (SHARD, SHARD_WITH_TERMS)}
    version = (reader.schema.metadata or {}).get(VERSION, b"none")
    if version not in known or not reader.schema.equals(known[version]):
        expected = " or ".join(number.decode() for number in known)
        raise XmcpipeError(
            f"{path}: expected shard format {expected}, got {version.decode(errors='replace')}",
            "run `xmcpipe tokenize` again",
        )
    return batches, require_valid(path, batches, num_labels)


def _numpy(array: pa.Array) -> npt.NDArray[Any]:
    return np.asarray(array.to_numpy(zero_copy_only=True))
