"""Tells inputs apart that look alike: label ids and 0/1 vectors, true and graded labels, N x L and L x N.

The same check serves files and arrays. Each takes the labels of N documents in CSR: document n has
`labels[indptr[n] : indptr[n + 1]]`.

Legend: N documents · L labels · P (document, label) pairs.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from xmcpipe.errors import XmcpipeError

Array = npt.NDArray[Any]
TEXTS_OF_0_1 = frozenset({"0", "1", "0.0", "1.0", "true", "false"})  # in lower case
Content = Literal["rankings", "scores", "labels"]
BLOCK_VALUES = 1 << 22  # of an array that is looked at in blocks
FEWEST_PAIRS = 10  # fewer documents may all have the same two labels
SHARES_ATOL = 2e-3  # of probabilities that should add up to 1, as float16
TRANSPOSED_ROWS = 10  # fewer rows can have columns of one length by chance


@dataclass(frozen=True)
class Grades:
    """Values of true labels that are not all 1: their range, and whether all are whole numbers."""

    least: float
    most: float
    whole: bool

    @staticmethod
    def of(values: Array) -> "Grades | None":
        """The grades of the values that are not 0, [P]; None if all of them are 1."""
        if values.dtype.kind == "b" or not len(values):
            return None
        values = values[values != 0]
        if not len(values) or np.all(values == 1):
            return None
        return Grades(float(values.min()), float(values.max()), bool(np.all(values == np.floor(values))))

    def joined(self, other: "Grades | None") -> "Grades":
        """The grades of both."""
        if other is None:
            return self
        return Grades(min(self.least, other.least), max(self.most, other.most), self.whole and other.whole)

    def __str__(self) -> str:
        return f"{self.least:g} to {self.most:g}"


def is_zero_one(values: Array) -> bool:
    """Whether all values are 0 or 1: numbers, booleans, or their texts."""
    if not len(values):
        return False
    if values.dtype.kind in "biuf":
        return bool(np.all((values == 0) | (values == 1)))
    return {str(value).lower() for value in np.unique(values).tolist()} <= TEXTS_OF_0_1


def require_no_vectors(what: str, lengths: Array, zero_one: bool, documents: int, ranked: bool) -> None:
    """Raise XmcpipeError if the lists of labels of N `documents` are 0/1 vectors, as in [0, 1, 0].

    `lengths` has at least the smallest and the largest length of the lists; `zero_one` says whether all of
    their values are 0 or 1. Of the ids 0 and 1 alone, a list of three has one twice. Lists of two can be
    rankings of two labels, which `ranked` allows, or a few documents that have both labels.
    """
    longest = int(lengths.max(initial=0))
    pairs_may_be_labels = ranked or int(lengths.min(initial=longest)) < 2 or documents < FEWEST_PAIRS
    if not zero_one or longest < 2 or (longest == 2 and pairs_may_be_labels):
        return
    raise XmcpipeError(
        f"{what}: expected the labels of each document, got 0/1 vectors of length {longest:,}",
        "list the positions of the 1s, as ids or names; or save the vectors as one matrix, .npy or .npz",
    )


def require_upright(what: str, indptr: Array, labels: Array, width: int) -> None:
    """Raise XmcpipeError if a matrix of predictions is L x N.

    Systems that predict the best k labels give each document k of them. If instead all columns have the same
    number of entries, and rows don't, then the columns are the documents.
    """
    sizes = np.diff(indptr)
    if len(sizes) < TRANSPOSED_ROWS or not len(labels) or int(sizes.min()) == int(sizes.max()):
        return
    if width < TRANSPOSED_ROWS or len(labels) % width:
        return
    columns = np.bincount(labels.astype(np.int64, copy=False), minlength=width)
    if int(columns.min()) == int(columns.max()):
        raise XmcpipeError(
            f"{what}: expected a row for each document, got {len(sizes):,} rows of different lengths and "
            f"{width:,} columns with {int(columns[0]):,} entries each: the matrix is transposed",
            "give a row for each document and a column for each label: matrix.T",
        )


def require_upright_shares(what: str, array: Array) -> None:
    """Raise XmcpipeError if scores are L x N: probabilities that add up to 1 in columns, and not in rows."""
    if min(array.shape) < 2 or max(array.shape) < TRANSPOSED_ROWS:
        return
    columns, in_rows, least = np.zeros(array.shape[1]), True, 0.0
    for block in _blocks(array):
        columns += block.sum(axis=0, dtype=np.float64)
        in_rows = in_rows and np.allclose(block.sum(axis=1, dtype=np.float64), 1, atol=SHARES_ATOL)
        least = min(least, float(block.min()))
    if not in_rows and least >= 0 and np.allclose(columns, 1, atol=SHARES_ATOL):
        raise XmcpipeError(
            f"{what}: expected scores [N, L], got {array.shape[0]:,} rows and {array.shape[1]:,} columns "
            "that add up to 1 each: the array is transposed",
            "give a row for each document and a column for each label: array.T",
        )


def _blocks(array: Array) -> list[Array]:
    """Views of an array, some rows each: what is computed of one is small."""
    step = max(1, BLOCK_VALUES // max(array.shape[1], 1))
    return [np.asarray(array[first : first + step]) for first in range(0, len(array), step)]


def dense_content(what: str, array: Array, ranked: bool) -> Content:
    """What a dense array holds: true `labels` [N, L], as 0 and 1; for predictions (`ranked`) `scores` [N, L]
    if it holds floats, and `rankings` [N, K] of label ids, best first, if it holds integers (-1 for none).

    Raises XmcpipeError for an array that isn't clearly one of these.
    """
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        names = array.dtype.kind in "US"
        raise XmcpipeError(
            f"{what}: expected an array of numbers [N, L], got shape {array.shape} of {array.dtype}",
            "write names as lists, .jsonl or .csv" if names else "give one row per document",
        )
    blocks = _blocks(array)
    zero_one = all(map(is_zero_one, (block.ravel() for block in blocks if block.size)))
    if ranked:
        return _ranked_content(what, array, zero_one)
    if not zero_one:
        raise XmcpipeError(
            f"{what}: expected a dense array of 0 and 1 [N, L], got other values of {array.dtype}",
            "give ids as lists, and graded labels as a SciPy matrix; scores are predictions: are the two "
            "swapped?",
        )
    return "labels"


def _ranked_content(what: str, array: Array, zero_one: bool) -> Content:
    """`scores` or `rankings`; `zero_one` says whether all values are 0 or 1."""
    blocks = _blocks(array)
    whole = array.dtype.kind in "biu" or all(np.array_equal(block, np.floor(block)) for block in blocks)
    if zero_one and array.size and (array.shape[1] > 1 or array.dtype.kind not in "iu"):
        raise XmcpipeError(
            f"{what}: expected scores or rankings, got a dense array of 0 and 1: decisions without an order",
            "give the scores from which they were made, as floats [N, L]",
        )
    if array.dtype.kind == "f":
        if whole and array.size:
            raise XmcpipeError(
                f"{what}: expected scores as floats or rankings as integers, got whole {array.dtype}",
                "rankings: convert with .astype(int); whole scores: give a SciPy matrix",
            )
        require_upright_shares(what, array)
        return "scores"
    if array.size and int(array.min()) < -1:
        raise XmcpipeError(
            f"{what}: expected label ids of each rank, or -1 for none, got {int(array.min())}",
            "give scores as floats [N, L], or as a SciPy matrix",
        )
    return "rankings"


def row_counts(first: str, first_rows: int, second: str, second_rows: int, widths: set[int | None]) -> str:
    """What two different numbers of rows mean, for a hint: `widths` are the numbers of columns, if known."""
    if first_rows in widths or second_rows in widths:
        return "one of them looks transposed: give a row for each document, a column for each label"
    if abs(first_rows - second_rows) == 1:
        longer = first if first_rows > second_rows else second
        return f"is the first line of {longer} a header, or a blank line its last?"
    return "give both the same documents in the same order"
