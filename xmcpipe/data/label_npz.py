"""Reads label lists from a SciPy CSR matrix saved as npz (PECOS and pyxclib write them), without unpickling.

In a matrix of predictions every stored value is a score, zeros too; in any other a stored zero is no label.
"""

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xmcpipe.data.label_lists import Int64s, Ints, Scores
from xmcpipe.errors import XmcpipeError

ROWS = 1 << 16
Piece = tuple[Int64s, Ints, Scores | None]


@dataclass(frozen=True)
class NpzMatrix:
    """A matrix [N, L] of which the arrays fit each other; `width` is L."""

    indptr: Int64s
    labels: Ints
    values: Any
    width: int

    def pieces(self, scored: bool) -> Iterator[Piece]:
        """(lengths, labels, scores) of some rows at a time; without scores unless `scored`."""
        indptr, labels, values = self.indptr, self.labels, self.values
        if not scored and not np.all(values):
            given = values != 0
            indptr = np.concatenate([[0], np.cumsum(given)])[indptr]
            labels, values = labels[given], values[given]
        for first in range(0, len(indptr) - 1, ROWS):
            piece = indptr[first : first + ROWS + 1]
            pairs = slice(int(piece[0]), int(piece[-1]))
            yield np.diff(piece), labels[pairs], values[pairs] if scored else None


def read_npz(path: Path) -> NpzMatrix:
    """The matrix in `path`. Raises XmcpipeError for another kind of matrix and for arrays that don't fit."""
    arrays = _arrays(path)
    indptr, indices, data = arrays["indptr"].astype(np.int64), arrays["indices"], arrays["data"]
    rows, width = (int(size) for size in arrays["shape"])
    whole = (
        len(indptr) == rows + 1
        and indptr[0] == 0
        and not np.any(indptr[1:] < indptr[:-1])
        and indptr[-1] == len(indices) == len(data)
        and (not len(indices) or (int(indices.min()) >= 0 and int(indices.max()) < width))
    )
    if not whole:
        raise XmcpipeError(
            f"{path}: its arrays don't fit its shape {rows} x {width}", "write the matrix again"
        )
    labels = indices.astype(np.int64) if indices.dtype == np.uint64 else indices
    return NpzMatrix(indptr, labels, data, width)


def _arrays(path: Path) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as file:
            kind = file["format"].item() if "format" in file else None
            kind = kind.decode() if isinstance(kind, bytes) else kind
            if kind != "csr":
                raise XmcpipeError(
                    f"{path} holds {f'a {kind}' if kind else 'no sparse'} matrix, a CSR matrix was wanted",
                    "write it with scipy.sparse.save_npz(path, matrix.tocsr())",
                )
            arrays = {name: file[name] for name in ("indptr", "indices", "data", "shape")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise XmcpipeError(f"{path} can't be read as a CSR matrix: {error}", "check the file") from error
    if any(arrays[name].dtype.kind not in "iu" for name in ("indptr", "indices", "shape")):
        raise XmcpipeError(f"{path}: its indices are not integers", "write it with scipy.sparse.save_npz")
    if arrays["data"].dtype.kind not in "iufb" or arrays["shape"].shape != (2,):
        raise XmcpipeError(f"{path}: its values are not numbers", "write it with scipy.sparse.save_npz")
    return arrays
