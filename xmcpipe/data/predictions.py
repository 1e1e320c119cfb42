"""Writes predictions: the Parquet table of the artifact and, optionally, a CSR matrix for other tools.

Legend: B documents of a batch · K labels predicted for each · N documents · L labels.
"""

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.lib import format

from xmcpipe.data.arrays import row_offsets
from xmcpipe.data.parquet import ParquetFileWriter
from xmcpipe.data.schema import PREDICTIONS, WITH_PROBABILITIES

Ints = npt.NDArray[np.integer[Any]]
Scores = npt.NDArray[np.floating[Any]]


class PredictionsWriter:
    """Writes predictions.parquet in batches: `with PredictionsWriter(path) as table: table.write(...)`.

    With `probabilities` the table has a column of them.
    """

    def __init__(self, path: Path, probabilities: bool = False) -> None:
        self._schema = WITH_PROBABILITIES if probabilities else PREDICTIONS
        self._file = ParquetFileWriter(path, self._schema, compression="zstd")
        self.rows = 0

    def write(
        self, ids: pa.Array, labels_BK: Ints, scores_BK: Scores, probabilities_BK: Scores | None = None
    ) -> None:
        """Append B documents: ids, string [B]; labels, best first, with -1 for no label; and their scores.

        `probabilities_BK` are those of the labels, for a table that has them.
        """
        present_BK = labels_BK >= 0
        ends = np.cumsum(present_BK.sum(axis=1))
        offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
        columns = [
            ids,
            pa.ListArray.from_arrays(offsets, pa.array(labels_BK[present_BK], pa.int32())),
            *(
                pa.ListArray.from_arrays(offsets, pa.array(values_BK[present_BK], pa.float32()))
                for values_BK in (scores_BK, probabilities_BK)
                if values_BK is not None
            ),
        ]
        self._file.write_batch(pa.record_batch(columns, schema=self._schema))
        self.rows += len(labels_BK)

    def __enter__(self) -> "PredictionsWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def write_predictions_npz(tables: Sequence[Path], path: Path, num_labels: int) -> None:
    """Write the rows of all `tables` as a float32 CSR matrix [N, num_labels], for `scipy.sparse.load_npz`.

    Row n is row n of the tables, one after the other; ids are not written. A score of exactly 0 becomes a
    stored zero. If the tables have probabilities, the file has a member `probabilities`, float32 in the order
    of `data`, for `np.load`; `load_npz` passes over it. One row group is in memory at a time, and the 8 bytes
    of each row's offset: an array in the file begins with its size, so the tables are read once for the
    lengths, then for each other array.
    """
    counts = [column.value_lengths().to_numpy() for table in tables for column in _columns(table, "labels")]
    indptr = row_offsets(np.concatenate(counts) if counts else np.empty(0, np.int32))
    index_type: type[np.integer[Any]] = np.int32 if indptr[-1] <= np.iinfo(np.int32).max else np.int64
    total = (int(indptr[-1]),)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        _write_member(file, "indices", _values(tables, "labels", index_type), total, index_type)
        _write_member(file, "indptr", [indptr.astype(index_type)], indptr.shape, index_type)
        _write_member(file, "format", [np.array(b"csr")], (), np.dtype("S3"))
        _write_member(file, "shape", [np.array([len(indptr) - 1, num_labels])], (2,), np.int64)
        _write_member(file, "data", _values(tables, "scores", np.float32), total, np.float32)
        if any("probabilities" in pq.read_schema(table).names for table in tables):
            probabilities = _values(tables, "probabilities", np.float32)
            _write_member(file, "probabilities", probabilities, total, np.float32)


def _write_member(
    file: zipfile.ZipFile,
    name: str,
    parts: Iterable[npt.NDArray[Any]],
    shape: tuple[int, ...],
    dtype: npt.DTypeLike,
) -> None:
    """Write one array, of which `parts` are the pieces in order."""
    header = {"descr": format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    # A ZipInfo without a date has that of 1980: the same predictions give the same bytes.
    with file.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
        format.write_array_header_1_0(member, header)
        for part in parts:
            member.write(part.tobytes())


def _values(tables: Sequence[Path], name: str, dtype: npt.DTypeLike) -> Iterator[npt.NDArray[Any]]:
    for table in tables:
        for column in _columns(table, name):
            yield column.flatten().to_numpy().astype(dtype)


def _columns(table: Path, name: str) -> Iterator[pa.ListArray]:
    """A column of `table`, row group by row group."""
    with pq.ParquetFile(table) as file:
        for group in range(file.num_row_groups):
            yield file.read_row_group(group, columns=[name])[name].combine_chunks()
