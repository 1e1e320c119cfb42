"""NumPy operations that several subpackages share."""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

S = TypeVar("S", bound=np.generic)


def concatenate(parts: Sequence[npt.NDArray[Any]], dtype: type[S]) -> npt.NDArray[S]:
    """The arrays end to end, as `dtype`; an empty array for no arrays, for which NumPy raises an error."""
    return np.concatenate(parts).astype(dtype, copy=False) if parts else np.empty(0, dtype)


def row_offsets(lengths: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The `indptr` of a CSR matrix, int64 [N + 1], given the number of entries of each row, [N]."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets
