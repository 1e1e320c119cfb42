"""What a baseline may read of a raw artifact: texts of both splits, but labels of the training split only.

Legend: N training documents · M test documents · L labels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from xmcpipe.errors import XmcpipeError, require_file

BATCH_ROWS = 8192
Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Documents:
    """The documents of the raw artifact in the folder `raw`; there is no method for the labels of test."""

    raw: Path

    @property
    def num_train(self) -> int:
        """N, the number of training documents."""
        return self._rows("train")

    @property
    def num_test(self) -> int:
        """M, the number of test documents."""
        return self._rows("test")

    @property
    def num_labels(self) -> int:
        """L, the number of labels in the vocabulary."""
        return self._rows("labels")

    def train_texts(self) -> Iterator[str]:
        """Yield the N training texts, a batch in memory at a time."""
        return self._texts("train")

    def test_texts(self) -> Iterator[str]:
        """Yield the M test texts, a batch in memory at a time."""
        return self._texts("test")

    def test_ids(self) -> pa.Array:
        """The ids of the test documents, string [M]."""
        return pq.read_table(self._path("test"), columns=["id"])["id"].combine_chunks()

    def train_labels(self) -> Any:
        """The labels of the training documents: CSR float32 [N, L] of ones.

        Raises XmcpipeError if no training document has a label.
        """
        from scipy.sparse import csr_matrix

        lists = pq.read_table(self._path("train"), columns=["labels"])["labels"].combine_chunks()
        lengths = lists.value_lengths().fill_null(0).to_numpy()
        labels: npt.NDArray[np.int32] = lists.flatten().to_numpy().copy()
        if not len(labels):
            raise XmcpipeError(
                f"expected training documents with labels in {self.raw}, got none", "check the imported file"
            )
        indptr: Int64s = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        ones = np.ones(len(labels), np.float32)
        matrix = csr_matrix((ones, labels, indptr), (len(lengths), self.num_labels))
        matrix.sum_duplicates()
        matrix.data[:] = 1
        return matrix

    def _texts(self, split: str) -> Iterator[str]:
        with pq.ParquetFile(self._path(split), pre_buffer=False) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=["text"]):
                yield from batch.column(0).to_pylist()

    def _rows(self, table: str) -> int:
        return int(pq.read_metadata(self._path(table)).num_rows)

    def _path(self, table: str) -> Path:
        return require_file(self.raw / f"{table}.parquet", "the raw artifact")
