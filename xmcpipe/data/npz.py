"""Reads sparse matrices that `scipy.sparse.save_npz` wrote, as CSR, without SciPy and without pickle.

A matrix in COO or CSC is sorted by row; values of one row keep their order, and a pair that occurs twice in
COO stays twice.

A file of unknown origin may be truncated, damaged or forged. Every matrix that is returned was checked: it is
complete and its indices are in range, so no later lookup can go out of bounds.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xmcpipe.data.arrays import row_offsets
from xmcpipe.errors import XmcpipeError

ARRAYS: dict[str, list[str]] = {  # the arrays of each format that is read
    "csr": ["indptr", "indices", "data", "shape"],
    "csc": ["indptr", "indices", "data", "shape"],
    "coo": ["row", "col", "data", "shape"],
}


@dataclass(frozen=True)
class CsrMatrix:
    """A sparse matrix [N, width] with P stored values, row by row.

    `indptr` int64 [N + 1]; `indices` [P], integers in [0, width); `values` [P], numbers. Row n has the
    columns `indices[indptr[n] : indptr[n + 1]]`.
    """

    indptr: npt.NDArray[np.int64]
    indices: npt.NDArray[np.integer[Any]]
    values: npt.NDArray[Any]
    width: int

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def without_zeros(self) -> "CsrMatrix":
        """The matrix without stored zeros: in a label matrix, a zero is not a label."""
        if np.all(self.values):
            return self
        nonzero = self.values != 0
        # row_offsets(nonzero)[i] is the number of nonzero values before position i.
        indptr = row_offsets(nonzero)[self.indptr]
        return CsrMatrix(indptr, self.indices[nonzero], self.values[nonzero], self.width)


def read_csr(path: Path) -> CsrMatrix:
    """Read the matrix in the file `path`: CSR, CSC or COO.

    Raises XmcpipeError for any other file, for arrays that don't fit together, and for NaN values.
    """
    kind, arrays = _arrays(path)
    rows, width = (int(size) for size in arrays["shape"])
    values = arrays["data"]
    if kind == "coo":
        fits = _pairs_fit(arrays["row"], arrays["col"], values, rows, width)
    else:
        major, minor = (width, rows) if kind == "csc" else (rows, width)
        fits = _offsets_fit(arrays["indptr"].astype(np.int64), arrays["indices"], values, major, minor)
    if not fits:
        raise XmcpipeError(
            f"{path}: the arrays don't fit the shape {rows} x {width}", "write the matrix again"
        )
    if kind == "csr":
        matrix = CsrMatrix(arrays["indptr"].astype(np.int64), arrays["indices"], values, width)
    elif kind == "csc":
        lengths = np.diff(arrays["indptr"]).astype(np.int64)
        columns = np.repeat(np.arange(width), lengths)
        matrix = _by_row(arrays["indices"], columns, values, rows, width)
    else:
        matrix = _by_row(arrays["row"], arrays["col"], values, rows, width)
    if values.dtype.kind == "f" and np.isnan(values.min(initial=0)):
        row = int(np.searchsorted(matrix.indptr, np.isnan(matrix.values).argmax(), side="right")) - 1
        raise XmcpipeError(f"{path}: a value of row {row} is not a number (NaN)", "write numbers")
    return matrix


def _by_row(
    rows: npt.NDArray[Any], columns: npt.NDArray[Any], values: npt.NDArray[Any], num_rows: int, width: int
) -> CsrMatrix:
    """The matrix of the pairs (row, column), in any order."""
    order = np.argsort(rows, kind="stable")
    counts = np.bincount(rows.astype(np.int64), minlength=num_rows)
    return CsrMatrix(row_offsets(counts), columns[order], values[order], width)


def _offsets_fit(
    indptr: npt.NDArray[np.int64], indices: npt.NDArray[Any], values: npt.NDArray[Any], major: int, minor: int
) -> bool:
    """Whether the arrays are those of a matrix with `major` rows of `minor` columns."""
    # The order of these checks matters: each relies on those before it.
    return bool(
        indptr.ndim == indices.ndim == values.ndim == 1
        and len(indptr) == major + 1
        and indptr[0] == 0
        and not np.any(indptr[1:] < indptr[:-1])
        and indptr[-1] == len(indices) == len(values)
        and _below(indices, minor)
    )


def _pairs_fit(
    rows: npt.NDArray[Any], columns: npt.NDArray[Any], values: npt.NDArray[Any], num_rows: int, width: int
) -> bool:
    """Whether the arrays are those of a matrix with `num_rows` rows, at most 2^31, of `width` columns."""
    return (
        rows.ndim == columns.ndim == values.ndim == 1
        and 0 <= num_rows <= 2**31
        and len(rows) == len(columns) == len(values)
        and _below(rows, num_rows)
        and _below(columns, width)
    )


def _below(indices: npt.NDArray[Any], end: int) -> bool:
    return not len(indices) or (int(indices.min()) >= 0 and int(indices.max()) < end)


def _arrays(path: Path) -> tuple[str, dict[str, npt.NDArray[Any]]]:
    """The format of a sparse matrix, and the arrays of that format, with checked types."""
    try:
        with path.open("rb") as bytes_, np.load(bytes_, allow_pickle=False) as file:
            kind = file["format"].item() if "format" in file else None
            kind = kind.decode(errors="replace") if isinstance(kind, bytes) else kind
            arrays = {name: np.asarray(file[name]) for name in ARRAYS.get(str(kind), [])}
    except Exception as error:  # for damaged bytes, zipfile and NumPy raise a dozen kinds of exceptions
        # NumPy's own text says how to unpickle, which can run code of a stranger.
        what = "it holds pickled objects, or is no archive" if "pickle" in str(error).lower() else str(error)
        raise XmcpipeError(f"{path} can't be read as a sparse matrix: {what}", "check the file") from error
    if not arrays:
        raise XmcpipeError(
            f"{path}: expected a sparse matrix in CSR, CSC or COO, got "
            f"{f'one in {kind}' if kind else 'none'}",
            "write it with scipy.sparse.save_npz(path, matrix.tocsr()); a dense array as .npy",
        )
    if any(arrays[name].dtype.kind not in "iu" for name in arrays if name != "data"):
        raise XmcpipeError(f"{path}: the indices are not integers", "write it with scipy.sparse.save_npz")
    if arrays["data"].dtype.kind not in "iufb" or arrays["shape"].shape != (2,):
        raise XmcpipeError(f"{path}: the values are not numbers", "write it with scipy.sparse.save_npz")
    return str(kind), arrays
