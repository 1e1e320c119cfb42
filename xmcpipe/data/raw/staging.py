"""Collects documents while they are read: texts go to disk, and only columns for the policies stay in memory.

For each document, memory holds its id, a 64-bit hash of its text, whether the text is empty, its split, and
its labels as int32 codes. Texts that are far larger than memory can therefore be searched for repetitions,
split and counted as a whole.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet

from xmcpipe.data.arrays import concatenate, row_offsets
from xmcpipe.data.parquet import ParquetFileWriter
from xmcpipe.data.raw.vocabulary import LabelCodes
from xmcpipe.data.strings.missing_words import missing_words
from xmcpipe.errors import XmcpipeError

TEXTS = pa.schema([("id", pa.string()), ("text", pa.string())])


class Staging:
    """Collects batches of documents; their texts are stored in the file `path` in the meantime.

    The label names in the argument `labels` get the first codes (see LabelCodes). After `finish`, these
    attributes describe the N documents in the order of reading:

    ids: string [N]. keys: uint64 [N], hashes that are equal if two texts are the same by `same_text`.
    empty: bool [N], whether the text is blank. split: int8 [N], the number passed to `add`.
    indptr, codes: int64 [N + 1] and int32 [P], the labels in CSR, distinct within a document; `labels.names`
      has the name of each code.
    merged_labels, repeating: int, the labels that a document has more than once, and such documents.
    missing: string, the texts that are words for a missing value, such as "nan".
    """

    def __init__(
        self, path: Path, same_text: Literal["caseless", "exact"], labels: pl.Series | None = None
    ) -> None:
        self.path = path
        self.labels = LabelCodes(labels)
        self.merged_labels = self.repeating = 0
        self._same_text = same_text
        self._writer = ParquetFileWriter(path, TEXTS, compression="zstd", compression_level=1)
        self._ids: list[pl.Series] = []
        self._keys: list[pl.Series] = []
        self._empty: list[pl.Series] = []
        self.missing = pl.Series("text", [], pl.String)
        self._splits: list[npt.NDArray[np.int8]] = []
        self._lengths: list[npt.NDArray[np.int64]] = []
        self._codes: list[npt.NDArray[np.int32]] = []

    def add(self, documents: pl.DataFrame, split: int) -> None:
        """Append a batch: `id` string, `text` string, `labels` list<string> or list<integer>; no nulls."""
        labels = documents["labels"].list.unique(maintain_order=True)
        lengths = labels.list.len().cast(pl.Int64).to_numpy()
        merged = documents["labels"].list.len().cast(pl.Int64).to_numpy() - lengths
        self.merged_labels += int(merged.sum())
        self.repeating += int((merged > 0).sum())
        self._codes.append(self.labels.encode(labels.filter(labels.list.len() > 0).explode()))
        self._lengths.append(lengths)
        self._splits.append(np.full(len(documents), split, np.int8))
        self._ids.append(documents["id"])
        self._keys.append(_text_keys(documents["text"], self._same_text))
        stripped = documents["text"].str.strip_chars()
        self._empty.append(stripped == "")
        self.missing = pl.concat([self.missing, missing_words(stripped.alias("text"))])
        self._writer.write_table(documents.select("id", "text").to_arrow().cast(TEXTS))

    def finish(self) -> None:
        """Close the file and join the batches. Raises XmcpipeError if an id repeats within a split."""
        self._writer.close()
        self.ids = pl.concat(self._ids) if self._ids else pl.Series("id", [], pl.String)
        self.keys = concatenate([keys.to_numpy() for keys in self._keys], np.uint64)
        self.empty = concatenate([empty.to_numpy() for empty in self._empty], np.bool_)
        self.split = concatenate(self._splits, np.int8)
        self.codes = concatenate(self._codes, np.int32)
        self.indptr = row_offsets(concatenate(self._lengths, np.int64))
        for number in np.unique(self.split):
            self._require_distinct(self.ids.filter(pl.Series(self.split == number)))

    def texts(self) -> Iterator[pa.RecordBatch]:
        """Yield the ids and texts of the documents, read back batch by batch, in order."""
        with pyarrow.parquet.ParquetFile(self.path) as file:
            yield from file.iter_batches(1 << 14)

    def close(self) -> None:
        """Delete the file of texts."""
        self._writer.close()
        self.path.unlink(missing_ok=True)

    @staticmethod
    def _require_distinct(ids: pl.Series) -> None:
        repeated = ids.filter(ids.is_duplicated())
        if len(repeated):
            raise XmcpipeError(
                f"expected distinct ids, got {repeated.n_unique()} in several rows, such as {repeated[0]!r}",
                "name a column of distinct values with --id-column (import.id), and write all labels of a "
                "document in one row",
            )


def _text_keys(text: pl.Series, same_text: str) -> pl.Series:
    """A 64-bit hash of each text: a collision among a million texts has a probability below 1e-7."""
    if same_text == "caseless":
        text = text.str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()
    return text.hash(seed=0)
