"""Reads CSR matrices that `scipy.sparse.save_npz` wrote, without SciPy and without pickle.

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
    """Read the matrix in the file `path`.

    Raises XmcpipeError for any other file, for arrays that don't fit together, and for NaN values.
    """
    arrays = _arrays(path)
    indptr, indices, values = arrays["indptr"].astype(np.int64), arrays["indices"], arrays["data"]
    rows, width = (int(size) for size in arrays["shape"])
    # The order of these checks matters: each relies on those before it.
    consistent = (
        indptr.ndim == indices.ndim == values.ndim == 1
        and len(indptr) == rows + 1
        and indptr[0] == 0
        and not np.any(indptr[1:] < indptr[:-1])
        and indptr[-1] == len(indices) == len(values)
        and (not len(indices) or (int(indices.min()) >= 0 and int(indices.max()) < width))
    )
    if not consistent:
        raise XmcpipeError(
            f"{path}: the arrays don't fit the shape {rows} x {width}", "write the matrix again"
        )
    if values.dtype.kind == "f" and np.isnan(values.min(initial=0)):
        row = int(np.searchsorted(indptr, np.isnan(values).argmax(), side="right")) - 1
        raise XmcpipeError(f"{path}: a value of row {row} is not a number (NaN)", "write numbers")
    return CsrMatrix(indptr, indices, values, width)


def _arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays indptr, indices, data and shape of a CSR file, with checked types."""
    try:
        with path.open("rb") as bytes_, np.load(bytes_, allow_pickle=False) as file:
            kind = file["format"].item() if "format" in file else None
            names = ("indptr", "indices", "data", "shape") if kind in ("csr", b"csr") else ()
            arrays = {name: np.asarray(file[name]) for name in names}
    except Exception as error:  # for damaged bytes, zipfile and NumPy raise a dozen kinds of exceptions
        raise XmcpipeError(f"{path} can't be read as a CSR matrix: {error}", "check the file") from error
    if not arrays:
        kind = kind.decode(errors="replace") if isinstance(kind, bytes) else kind
        raise XmcpipeError(
            f"{path}: expected a CSR matrix, got {f'a {kind} matrix' if kind else 'no sparse matrix'}",
            "write it with scipy.sparse.save_npz(path, matrix.tocsr())",
        )
    if any(arrays[name].dtype.kind not in "iu" for name in ("indptr", "indices", "shape")):
        raise XmcpipeError(f"{path}: the indices are not integers", "write it with scipy.sparse.save_npz")
    if arrays["data"].dtype.kind not in "iufb" or arrays["shape"].shape != (2,):
        raise XmcpipeError(f"{path}: the values are not numbers", "write it with scipy.sparse.save_npz")
    return arrays
