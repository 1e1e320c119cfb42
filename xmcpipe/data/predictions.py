"""Writes predictions: the Parquet table of the artifact and, optionally, a CSR matrix for other tools.

Legend: B documents of a batch · K labels predicted for each · N documents · L labels.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from xmcpipe.data.schema import PREDICTIONS

Ints = npt.NDArray[np.integer[Any]]
Scores = npt.NDArray[np.floating[Any]]


class PredictionsWriter:
    """Writes predictions.parquet in batches: `with PredictionsWriter(path) as table: table.write(...)`."""

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetWriter(path, PREDICTIONS, compression="zstd")
        self.rows = 0

    def write(self, ids: pa.Array, labels_BK: Ints, scores_BK: Scores) -> None:
        """Append B documents: ids, string [B]; labels, best first, with -1 for no label; and their scores."""
        present_BK = labels_BK >= 0
        ends = np.cumsum(present_BK.sum(axis=1))
        offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
        columns = [
            ids,
            pa.ListArray.from_arrays(offsets, pa.array(labels_BK[present_BK], pa.int32())),
            pa.ListArray.from_arrays(offsets, pa.array(scores_BK[present_BK], pa.float32())),
        ]
        self._file.write_batch(pa.record_batch(columns, schema=PREDICTIONS))
        self.rows += len(labels_BK)

    def __enter__(self) -> "PredictionsWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def write_predictions_npz(parquet: Path, path: Path, num_labels: int) -> None:
    """Write the table `parquet` as a float32 CSR matrix [N, num_labels], for `scipy.sparse.load_npz`.

    Row n is the table's row n; ids are not written. A score of exactly 0 becomes a stored zero.
    """
    from scipy import sparse  # only this function uses it

    table = pq.read_table(parquet, columns=["labels", "scores"])
    lengths = [chunk.value_lengths().to_numpy() for chunk in table.column("labels").chunks]
    indptr = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]) if lengths else np.zeros(1, np.int64)
    labels, scores = (
        np.concatenate(
            [np.empty(0, kind), *(chunk.flatten().to_numpy() for chunk in table.column(name).chunks)]
        )
        for name, kind in (("labels", np.int32), ("scores", np.float32))
    )
    matrix = sparse.csr_matrix((scores, labels, indptr), shape=(table.num_rows, num_labels))
    with path.open("wb") as file:
        sparse.save_npz(file, matrix, compressed=False)
