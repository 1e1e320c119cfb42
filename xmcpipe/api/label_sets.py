"""The labels of documents as a classifier gets them: a 0/1 matrix, or lists of names.

N documents, L labels.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from xmcpipe.errors import XmcpipeError

HINT = "give a list of labels for each text, or a 0/1 matrix (NumPy or SciPy)"


@dataclass(frozen=True)
class LabelSets:
    """`classes` [L]: 0 to L - 1 for a matrix, else the names in order. `matrix`: CSR int64 [N, L] of 0/1."""

    classes: npt.NDArray[Any]
    matrix: Any


def label_sets(labels: Any) -> LabelSets:
    """The labels of N documents. Raises XmcpipeError unless they are a 0/1 matrix or lists of names."""
    if sparse.issparse(labels) or getattr(labels, "ndim", 1) == 2:
        matrix = _indicator(labels)
        return LabelSets(np.arange(matrix.shape[1]), matrix)
    rows = _rows(labels)
    names = sorted({name for row in rows for name in row})
    if not names:
        raise XmcpipeError("expected labels, got only texts without a label", HINT)
    return LabelSets(_array(names), indicator_of(rows, {name: column for column, name in enumerate(names)}))


def truth_of(labels: Any, classes: npt.NDArray[Any]) -> Any:
    """The labels of other documents as CSR int64 [N, at least L].

    Columns from L on are labels that are not in `classes`. Raises XmcpipeError as `label_sets` does, and for
    a matrix of another width.
    """
    if sparse.issparse(labels) or getattr(labels, "ndim", 1) == 2:
        matrix = _indicator(labels)
        if matrix.shape[1] != len(classes):
            raise XmcpipeError(
                f"expected a matrix of {len(classes):,} labels, got one of {matrix.shape[1]:,}",
                "columns are those of the matrix that fit was given",
            )
        return matrix
    rows = _rows(labels)
    columns = {name: column for column, name in enumerate(classes.tolist())}
    for row in rows:
        for name in row:
            columns.setdefault(name, len(columns))
    return indicator_of(rows, columns)


def indicator_of(rows: Sequence[Iterable[Any]], columns: Mapping[Any, int]) -> Any:
    """CSR int64 [N, number of `columns`] with a 1 for each label of each row."""
    ids = [sorted({columns[name] for name in row}) for row in rows]
    indptr = np.cumsum([0, *map(len, ids)])
    indices = np.array([column for row in ids for column in row], np.int32)
    ones = np.ones(len(indices), np.int64)
    return sparse.csr_matrix((ones, indices, indptr), shape=(len(rows), len(columns)))


def _indicator(labels: Any) -> Any:
    try:
        matrix = sparse.csr_matrix(labels)
        valid = bool(np.isin(matrix.data, (0, 1)).all())
    except (TypeError, ValueError):
        valid = False
    if not valid:
        raise XmcpipeError("expected only 0 and 1 in the matrix of labels, got other values", HINT)
    matrix = matrix.astype(np.int64)
    matrix.eliminate_zeros()
    return matrix


def _rows(labels: Any) -> list[list[Any]]:
    if isinstance(labels, str | bytes | Mapping) or not isinstance(labels, Iterable):
        raise XmcpipeError(f"expected labels, got {type(labels).__name__}", HINT)
    rows = [_row(row, number) for number, row in enumerate(labels)]
    kinds = {type(name) for row in rows for name in row}
    if len(kinds) > 1:
        raise XmcpipeError("expected labels that are all strings or all integers, got both", "convert them")
    if _looks_like_a_matrix(rows):
        raise XmcpipeError(
            "expected lists of labels or a matrix, got lists of 0 and 1 that may be either",
            "convert them: numpy.array(labels) is a matrix; labels as strings are lists of labels",
        )
    return rows


def _row(row: Any, number: int) -> list[Any]:
    if isinstance(row, str | bytes | Mapping) or not isinstance(row, Iterable):
        kind = "None" if row is None else type(row).__name__
        raise XmcpipeError(f"expected a list of labels for each text, got {kind} in row {number}", HINT)
    found = [int(name) if isinstance(name, np.integer) else name for name in row]
    for name in found:
        if not isinstance(name, str | int) or isinstance(name, bool):
            raise XmcpipeError(
                f"expected labels that are strings or integers, got {name!r} in row {number}", HINT
            )
    return [str(name) if isinstance(name, str) else name for name in found]


def _looks_like_a_matrix(rows: Sequence[Sequence[Any]]) -> bool:
    """Whether the rows are of one length and of 0 and 1 alone: scikit-learn takes them for a matrix."""
    width = len(rows[0]) if rows else 0
    return width > 1 and all(len(row) == width and set(row) <= {0, 1} for row in rows)


def _array(names: Sequence[Any]) -> npt.NDArray[Any]:
    if isinstance(names[0], int):
        return np.array(names, np.int64)
    return np.array([*names, None], object)[:-1]  # strings of any length, as objects
