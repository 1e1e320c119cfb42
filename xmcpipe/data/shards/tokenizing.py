"""Turns text into token ids, one shard at a time.

Writing a shard is one task. It depends only on a Parquet file, a range of its rows and the JSON text of the
tokenizer, and it writes one file, so any scheduler could run it anywhere. `data.shards.encoding_pool` runs
tasks on the cores of this machine. A task holds one batch of texts and token ids in memory, whatever the size
of the dataset, and imports neither torch nor transformers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tokenizers import Tokenizer

from xmcpipe.data.arrays import row_offsets
from xmcpipe.data.schema import LABELS, RAW_DOCUMENTS
from xmcpipe.data.shards.files import ShardWriter
from xmcpipe.data.terms import document_terms
from xmcpipe.errors import XmcpipeError
from xmcpipe.pieces import Pieces

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]

# Limits of the texts that are passed to the tokenizer at a time: an Encoding takes about 100 bytes per token.
ENCODE_ROWS, ENCODE_BYTES = 1024, 4 << 20
# Limits of the rows that are decoded at a time; they become one record batch of the shard.
READ_ROWS, READ_BYTES = 8192, 64 << 20


@dataclass(frozen=True)
class ShardTask:
    """A shard to write: rows [first_row, first_row + num_rows) of the Parquet file `source` become `out`.

    `tokenizer` is the JSON text of a `tokenizers.Tokenizer`, set up for `pieces`. A document without tokens
    gets the token `filler`, because pooling needs at least one token. With
    `of_labels`, the source is a table of labels, and each row with a text becomes a document that has that
    row as its label. Label ids must be in [0, num_labels). `words` is the key of [tokenize].
    """

    source: Path
    first_row: int
    num_rows: int
    out: Path
    tokenizer: str
    pieces: Pieces
    filler: int
    num_labels: int
    of_labels: bool = False
    words: str = "none"


@dataclass(frozen=True)
class Lengths:
    """Statistics of lengths: `counts[n]` documents have n tokens, int64 [maximum + 1].

    `truncated` is the number of documents that were truncated.
    """

    counts: Int64s
    truncated: int

    def __add__(self, other: "Lengths") -> "Lengths":
        return Lengths(self.counts + other.counts, self.truncated + other.truncated)

    @property
    def documents(self) -> int:
        """Number of documents."""
        return int(self.counts.sum())

    def quantile(self, fraction: float) -> int:
        """The smallest length n such that at least `fraction` of the documents have at most n tokens."""
        if not self.documents:
            return 0
        return int(np.searchsorted(np.cumsum(self.counts), fraction * self.documents))

    def figures(self) -> dict[str, float]:
        """Figures for the manifest: number of documents and tokens, statistics of the lengths.

        `truncated` is the fraction of documents that were truncated.
        """
        tokens = int(self.counts @ np.arange(len(self.counts)))
        documents = max(1, self.documents)
        return {
            "documents": self.documents,
            "tokens": tokens,
            "mean": round(tokens / documents, 2),
            "median": self.quantile(0.5),
            "p95": self.quantile(0.95),
            "max": self.quantile(1.0),
            "truncated": round(self.truncated / documents, 4),
        }


def encode_shard(task: ShardTask) -> Lengths:
    """Write the shard of `task`; returns the statistics of its document lengths.

    Raises XmcpipeError for a source that can't be read, and for a label id that is out of range.
    """
    tokenizer = _tokenizer(task.tokenizer)
    total = Lengths(np.zeros(task.pieces.max_tokens + 1, np.int64), 0)
    has_terms = task.words != "none"
    with ShardWriter(task.out, has_terms) as shard:
        for ids, texts, labels in _documents(task):
            parts = [_encode(tokenizer, texts[piece], task) for piece in _encode_slices(texts)]
            lengths = np.concatenate([part[1] for part in parts])
            counts = np.bincount(lengths, minlength=task.pieces.max_tokens + 1).astype(np.int64)
            total += Lengths(counts, sum(part[2] for part in parts))
            values = np.concatenate([part[0] for part in parts])
            terms = document_terms(texts.to_pylist(), task.words == "pairs") if has_terms else None
            shard.write(ids, _lists(values, lengths), labels, terms)
    return total


def num_rows(source: Path) -> int:
    """The number of rows of a Parquet file. Raises XmcpipeError for any other file."""
    return int(_open(source).metadata.num_rows)


def label_ranges(source: Path, rows_per_shard: int) -> list[tuple[int, int, int]]:
    """Ranges (first row, rows, documents) of a table of labels, each with at most `rows_per_shard` texts.

    Labels without a text are rows of a range, but not documents.
    """
    file = _open(source)
    _require_columns(file, source, LABELS)
    batches = file.iter_batches(65_536, columns=["text"], use_threads=False)
    masks = [_has_text(batch.column(0).cast(pa.string())) for batch in batches]
    rows = np.flatnonzero(np.concatenate(masks)) if masks else np.empty(0, np.int64)
    cuts = [*rows[::rows_per_shard].tolist(), file.metadata.num_rows]
    return [
        (first, end - first, min(rows_per_shard, len(rows) - number * rows_per_shard))
        for number, (first, end) in enumerate(pairwise(cuts))
    ]


@lru_cache(maxsize=1)  # a worker runs many tasks with the same tokenizer
def _tokenizer(text: str) -> Tokenizer:
    return Tokenizer.from_str(text)


def _encode(tokenizer: Tokenizer, texts: pa.StringArray, task: ShardTask) -> tuple[Int32s, Int32s, int]:
    """Token ids end to end, the number of tokens of each text, and how many texts were truncated."""
    encodings = tokenizer.encode_batch_fast(texts.to_pylist())
    ids = [task.pieces.token_ids(encoding, task.filler) for encoding in encodings]
    lengths = np.fromiter(map(len, ids), np.int32, len(ids))
    values = np.fromiter(chain.from_iterable(ids), np.int32, int(lengths.sum()))
    return values, lengths, sum(map(task.pieces.is_truncated, encodings))


def _documents(task: ShardTask) -> Iterator[tuple[pa.StringArray, pa.StringArray, pa.ListArray]]:
    """Yield the documents of the task in batches: ids, texts and labels (list<int32>, sorted, distinct)."""
    for first, batch in _rows(task):
        texts = batch.column("text").cast(pa.string())
        if task.of_labels:
            rows = np.flatnonzero(_has_text(texts))
            ids, texts = batch.column("label").cast(pa.string()).take(rows), texts.take(rows)
            labels = _lists((first + rows).astype(np.int32), np.ones(len(rows), np.int32))
        else:
            ids = batch.column("id").cast(pa.string())
            labels = _label_sets(batch.column("labels").cast(pa.list_(pa.int64())), task)
        if len(ids):
            yield ids, texts.fill_null(""), labels


def _rows(task: ShardTask) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield record batches of the rows of the task, each with the number of its first row in the source.

    Only row groups that overlap the rows of the task are decoded; their first and last batches are sliced.
    """
    file = _open(task.source)
    schema = LABELS if task.of_labels else RAW_DOCUMENTS
    _require_columns(file, task.source, schema)
    end = task.first_row + task.num_rows
    sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    starts = np.cumsum([0, *sizes])
    groups = [
        number for number in range(len(sizes)) if starts[number] < end and starts[number + 1] > task.first_row
    ]
    if not groups:
        return
    row = int(starts[groups[0]])  # in the source: the first row of the next batch
    bytes_per_row = (
        sum(file.metadata.row_group(number).total_byte_size for number in groups)
        // sum(sizes[number] for number in groups)
        + 1
    )
    size = min(READ_ROWS, READ_BYTES // bytes_per_row + 1)
    # One thread is enough, because the other cores work on other shards.
    for batch in file.iter_batches(size, row_groups=groups, columns=schema.names, use_threads=False):
        skip, stop = max(0, task.first_row - row), min(len(batch), end - row)
        if stop > skip:
            yield row + skip, batch.slice(skip, stop - skip)
        row += len(batch)
        if row >= end:
            return


def _open(source: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(source, memory_map=True, pre_buffer=False)
    except (pa.ArrowInvalid, OSError) as error:
        raise XmcpipeError(
            f"{source} can't be read as Parquet: {error}", "run the download or import again"
        ) from error


def _require_columns(file: pq.ParquetFile, source: Path, schema: pa.Schema) -> None:
    missing = [name for name in schema.names if name not in file.schema_arrow.names]
    if missing:
        raise XmcpipeError(
            f"{source}: expected a column {missing[0]!r}, got {', '.join(file.schema_arrow.names)}",
            "name a raw artifact, as `xmcpipe import` writes it",
        )


def _has_text(texts: pa.StringArray) -> npt.NDArray[np.bool_]:
    """Whether each text is neither null nor blank."""
    lengths = pc.binary_length(pc.utf8_trim_whitespace(texts.fill_null("")))
    return np.asarray(lengths.to_numpy(zero_copy_only=False) > 0)


def _label_sets(lists: pa.ListArray, task: ShardTask) -> pa.ListArray:
    """The lists of labels (int64, in any order, with repetitions) as list<int32>, sorted and distinct."""
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False)
    labels = lists.flatten().fill_null(-1).to_numpy(zero_copy_only=False)
    if len(labels) and (labels.min() < 0 or labels.max() >= task.num_labels):
        wrong = labels[(labels < 0) | (labels >= task.num_labels)][0]
        raise XmcpipeError(
            f"{task.source}: expected label ids from 0 to {task.num_labels - 1}, got {wrong}",
            "run the download or import again",
        )
    rows = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
    # Sorting the pair numbers row x L + label sorts all lists at once, and drops repetitions within a row.
    pairs = np.unique(rows * task.num_labels + labels)
    sizes = np.bincount(pairs // max(1, task.num_labels), minlength=len(lengths))
    return _lists((pairs % max(1, task.num_labels)).astype(np.int32), sizes)


def _lists(values: Int32s, lengths: npt.NDArray[np.integer]) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(row_offsets(lengths), pa.int32()), pa.array(values))


def _encode_slices(texts: pa.StringArray) -> list[slice]:
    """Slices of at most ENCODE_ROWS texts and about ENCODE_BYTES bytes each, or of one longer text."""
    bytes_before = np.cumsum(pc.binary_length(texts).to_numpy(zero_copy_only=False), dtype=np.int64)
    return _runs(np.arange(len(texts)) // ENCODE_ROWS, bytes_before // ENCODE_BYTES)


def _runs(*keys: Int64s) -> list[slice]:
    """Slices over which none of the `keys` (int64 [rows], rows > 0) changes."""
    changes = np.logical_or.reduce([np.diff(key) != 0 for key in keys])
    edges = [0, *(np.flatnonzero(changes) + 1).tolist(), len(keys[0])]
    return [slice(first, end) for first, end in pairwise(edges)]
