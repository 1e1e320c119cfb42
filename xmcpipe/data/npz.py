"""CSR matrices as `scipy.sparse.save_npz` writes them, read without SciPy, without pickle and without trust.

A file of unknown origin may be truncated, damaged or forged: a matrix returned from here is complete, and its
indices are in range, so that no later lookup can go out of bounds.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xmcpipe.data.arrays import row_offsets
from xmcpipe.errors import XmcpipeError


@dataclass(frozen=True)
class Csr:
    """A matrix [N, width].

    `indptr` int64 [N + 1]; `indices` [P], integers in [0, width); `values` [P], numbers.
    """

    indptr: npt.NDArray[np.int64]
    indices: npt.NDArray[np.integer[Any]]
    values: npt.NDArray[Any]
    width: int

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def without_zeros(self) -> "Csr":
        """The matrix without its stored zeros: in a label matrix they are not labels."""
        if np.all(self.values):
            return self
        nonzero = self.values != 0
        indptr = row_offsets(nonzero)[self.indptr]
        return Csr(indptr, self.indices[nonzero], self.values[nonzero], self.width)


def read_csr(path: Path) -> Csr:
    """The matrix in `path`.

    Raises XmcpipeError for any other file, for arrays that don't fit each other, and for a NaN.
    """
    arrays = _arrays(path)
    indptr, indices, values = arrays["indptr"].astype(np.int64), arrays["indices"], arrays["data"]
    rows, width = (int(size) for size in arrays["shape"])
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
    return Csr(indptr, indices, values, width)


def _arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        with path.open("rb") as bytes_, np.load(bytes_, allow_pickle=False) as file:
            kind = file["format"].item() if "format" in file else None
            names = ("indptr", "indices", "data", "shape") if kind in ("csr", b"csr") else ()
            arrays = {name: np.asarray(file[name]) for name in names}
    except Exception as error:  # zipfile and NumPy raise a dozen kinds of exception for damaged bytes
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
