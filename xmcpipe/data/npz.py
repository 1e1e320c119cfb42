"""CSR matrices as `scipy.sparse.save_npz` writes them, read without SciPy, without pickle and without trust.

A matrix from elsewhere may be cut, damaged or forged: what is returned here is whole, and its indices are in
range, so that no later index goes astray.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xmcpipe.errors import XmcpipeError


@dataclass(frozen=True)
class Csr:
    """A matrix [N, width]: `indptr` int64 [N + 1]; `indices` [P], integers in [0, width); `values` [P],
    numbers.
    """

    indptr: npt.NDArray[np.int64]
    indices: npt.NDArray[np.integer[Any]]
    values: npt.NDArray[Any]
    width: int

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def without_zeros(self) -> "Csr":
        """The matrix without the zeros that it stores: in a label matrix they are no labels."""
        if np.all(self.values):
            return self
        given = self.values != 0
        indptr = np.concatenate([[0], np.cumsum(given)])[self.indptr]
        return Csr(indptr, self.indices[given], self.values[given], self.width)


def read_csr(path: Path) -> Csr:
    """The matrix in `path`. Raises XmcpipeError for any other file, for arrays that don't fit each other, and
    for a value that is not a number.
    """
    arrays = _arrays(path)
    indptr, indices, values = arrays["indptr"].astype(np.int64), arrays["indices"], arrays["data"]
    rows, width = (int(size) for size in arrays["shape"])
    whole = (
        indptr.ndim == indices.ndim == values.ndim == 1
        and len(indptr) == rows + 1
        and indptr[0] == 0
        and not np.any(indptr[1:] < indptr[:-1])
        and indptr[-1] == len(indices) == len(values)
        and (not len(indices) or (int(indices.min()) >= 0 and int(indices.max()) < width))
    )
    if not whole:
        raise XmcpipeError(
            f"{path}: its arrays don't fit its shape {rows} x {width}", "write the matrix again"
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
    except Exception as error:  # zipfile and NumPy meet damaged bytes with a dozen kinds of exception
        raise XmcpipeError(f"{path} can't be read as a CSR matrix: {error}", "check the file") from error
    if not arrays:
        kind = kind.decode(errors="replace") if isinstance(kind, bytes) else kind
        raise XmcpipeError(
            f"{path} holds {f'a {kind}' if kind else 'no sparse'} matrix, a CSR matrix was wanted",
            "write it with scipy.sparse.save_npz(path, matrix.tocsr())",
        )
    if any(arrays[name].dtype.kind not in "iu" for name in ("indptr", "indices", "shape")):
        raise XmcpipeError(f"{path}: its indices are not integers", "write it with scipy.sparse.save_npz")
    if arrays["data"].dtype.kind not in "iufb" or arrays["shape"].shape != (2,):
        raise XmcpipeError(f"{path}: its values are not numbers", "write it with scipy.sparse.save_npz")
    return arrays
