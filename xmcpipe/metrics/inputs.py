"""Converts what callers pass to labels of N documents in CSR, with one numbering of the labels.

    a SciPy sparse matrix [N, L]     predictions: every stored value is a score, even 0; truth, training
                                     and filter: every value except 0 is a label
    a dense array                    predictions: floats [N, L] are scores, integers [N, K] are rankings, best
                                     first, -1 for none; truth, training and filter: 0 and 1 [N, L]
    a list of N collections          labels, integers or strings; predictions are lists best first, or of
                                     pairs (label, score) in any order, or dicts label -> score

SciPy is not imported: a matrix is recognised by its method `tocsr`.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from xmcpipe.errors import XmcpipeError
from xmcpipe.lookalikes.inputs import (
    FEWEST_PAIRS,
    Grades,
    dense_content,
    is_zero_one,
    require_no_vectors,
    require_upright,
)
from xmcpipe.metrics.ranking import Scores
from xmcpipe.metrics.truth import Int64s, Ints


@dataclass(frozen=True)
class Rows:
    """Labels of N documents: `labels[indptr[n] : indptr[n + 1]]`, with `scores` of the same length or None.

    `width` is L if the input is a matrix, else None. `what` names the input in errors. `grades` are the
    values of true labels that are not all 1; `ranked` says that the input was an array of rankings.
    """

    what: str
    indptr: Int64s
    labels: Ints
    scores: Scores | None = None
    width: int | None = None
    grades: Grades | None = None
    ranked: bool = False

    def __len__(self) -> int:
        return len(self.indptr) - 1


def rows_of(value: Any, what: str) -> Rows:
    """An input (see the module) as Rows; labels that are strings stay strings.

    `what` is predictions, truth, train or exclude. Raises XmcpipeError for other inputs, for labels that are
    neither integers nor strings, and for negative ids.
    """
    scored = what == "predictions"
    if hasattr(value, "tocsr"):
        if len(value.shape) != 2:
            raise XmcpipeError(
                f"{what}: expected a matrix [N, L], got shape {value.shape}", "give one row per document"
            )
        return _of_matrix(value.tocsr(), what, scored)
    if isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype.kind != "O":
        return _of_array(value, what, scored)
    if not isinstance(value, Sequence | np.ndarray):
        raise XmcpipeError(
            f"{what}: expected a SciPy CSR matrix or a list of label lists, got {type(value).__name__}",
            "convert it with scipy.sparse.csr_matrix",
        )
    return _of_lists(value, what, scored)


def with_one_numbering(
    parts: Sequence[Rows | None], known: int, fixed: Mapping[str, int | None]
) -> tuple[list[Any], int, npt.NDArray[Any] | None]:
    """The parts with integer labels in one numbering; L; and the label of each number, None if it is the id.

    With a matrix, or with an L in `fixed` (name of an argument -> L), labels are ids already. Otherwise the
    labels of the first `known` parts (truth, training), sorted, get the ids 0 … L - 1; labels that occur only
    in other parts get the ids after them. Raises XmcpipeError for widths that differ, label ids >= L, and a
    mix of integers and strings.
    """
    present = [part for part in parts if part is not None]
    widths = {part.what: part.width for part in present if part.width is not None}
    widths |= {what: width for what, width in fixed.items() if width is not None}
    if len(set(widths.values())) > 1:
        listed = ", ".join(f"{what} {width:,}" for what, width in widths.items())
        raise XmcpipeError(f"the numbers of labels differ: {listed}", "give matrices with the same columns")
    kinds = {part.labels.dtype.kind == "U" for part in present if len(part.labels)}
    if len(kinds) > 1:
        raise XmcpipeError(
            "expected labels of one kind, got both integers and strings", "give ids everywhere, or names"
        )
    if widths and True in kinds:
        raise XmcpipeError(f"labels are strings, but {next(iter(widths))} uses ids", "give ids everywhere")
    if widths:
        width = next(iter(widths.values()))
        for part in present:
            least, most = int(part.labels.min(initial=0)), int(part.labels.max(initial=0))
            if least < 0 or most >= max(width, 1):
                raise XmcpipeError(
                    f"expected label ids from 0 to {width - 1:,}, got {least if least < 0 else most} "
                    f"in {part.what}",
                    "ids begin at 0: are these counted from 1?" if most == width else "ids begin at 0",
                )
        return list(parts), width, None
    return _renumbered(parts, known)


def _renumbered(parts: Sequence[Rows | None], known: int) -> tuple[list[Any], int, npt.NDArray[Any]]:
    def distinct(group: Sequence[Rows | None]) -> npt.NDArray[Any]:
        labels = [np.unique(part.labels) for part in group if part is not None and len(part.labels)]
        return np.unique(np.concatenate(labels)) if labels else np.empty(0, np.int64)

    names = distinct(parts[:known])
    others = np.setdiff1d(distinct(parts), names, assume_unique=True)
    # The id of a label is its position here. Both halves are sorted, their concatenation isn't: so the labels
    # are searched through a sorting permutation.
    every = np.concatenate([names, others]) if len(others) else names
    order = np.argsort(every)

    def with_ids(part: Rows) -> Rows:
        if not len(part.labels):
            return replace(part, labels=np.empty(0, np.int64))
        ids = order[np.searchsorted(every, part.labels, sorter=order)]
        return replace(part, labels=ids.astype(np.int64))

    return [None if part is None else with_ids(part) for part in parts], len(names), every


def _of_matrix(matrix: Any, what: str, scored: bool) -> Rows:
    indptr, labels, data = matrix.indptr.astype(np.int64), _signed(matrix.indices), matrix.data
    width = int(matrix.shape[1])
    if data.dtype.kind not in "iufb":
        raise XmcpipeError(f"{what}: expected a matrix of numbers, got {data.dtype}")
    if scored:
        require_upright(what, indptr, labels, width)
        return Rows(what, indptr, labels, data, width)
    if data.dtype.kind == "f" and np.isnan(data).any():
        raise XmcpipeError(f"{what}: a value is not a number (NaN)", "store 1 for a label")
    if not data.all():  # stored zeros are not labels
        stored = data != 0
        indptr = np.concatenate([[0], np.cumsum(stored)])[indptr]
        labels = labels[stored]
    return Rows(what, indptr, labels, None, width, Grades.of(data))


def _of_array(array: npt.NDArray[Any], what: str, scored: bool) -> Rows:
    content, width = dense_content(what, array, scored), array.shape[1]
    if content == "rankings":
        present = array >= 0
        return Rows(what, _indptr(present.sum(axis=1)), array[present], ranked=True)
    if content == "scores":
        indptr = np.arange(len(array) + 1, dtype=np.int64) * width
        return Rows(what, indptr, np.tile(np.arange(width), len(array)), array.ravel(), width)
    present = array != 0
    return Rows(what, _indptr(present.sum(axis=1)), np.nonzero(present)[1], None, width)


def _of_lists(rows: Any, what: str, scored: bool) -> Rows:
    kinds = set(map(type, rows))
    if any(issubclass(kind, str | bytes) for kind in kinds):
        raise XmcpipeError(
            f"{what}: expected a list of labels for each document, got a string", "put its labels in a list"
        )
    if scored and any(issubclass(kind, Set) for kind in kinds):
        raise XmcpipeError(f"{what}: expected ordered labels, got a set", "give lists, best first")
    if any(issubclass(kind, Mapping) for kind in kinds):
        if not scored or not all(issubclass(kind, Mapping) for kind in kinds):
            raise XmcpipeError(
                f"{what}: expected a list of labels for each document, got a dict",
                "only predictions may be dicts label -> score, and then for every document",
            )
        rows = [list(row.items()) for row in rows]
    try:
        indptr = _indptr(np.fromiter(map(len, rows), np.int64, len(rows)))
        flat = list(chain.from_iterable(rows))
    except TypeError as error:
        raise XmcpipeError(f"{what}: {error}", "give a list of labels for each document") from error
    scores = None
    if scored and flat and isinstance(flat[0], tuple):
        try:
            labels_of, scores_of = zip(*flat, strict=True)
            flat, scores = list(labels_of), np.array(scores_of, np.float64)
        except (ValueError, TypeError) as error:
            raise XmcpipeError(f"{what}: {error}", "give pairs (label, score)") from error
    kinds = set(map(type, flat))
    numbers = all(issubclass(kind, int | float | np.number | np.bool_) for kind in kinds)
    if scores is None and numbers and is_zero_one(np.array(flat, np.float64)):
        integers = all(issubclass(kind, int | np.integer) and kind is not bool for kind in kinds)
        documents = len(rows) if integers else FEWEST_PAIRS
        require_no_vectors(what, np.diff(indptr), True, documents, scored and integers)
    return Rows(what, indptr, _labels(flat, what), scores)


def _labels(flat: list[Any], what: str) -> Ints:
    """Labels as one array of int64 or of strings.

    Raises XmcpipeError for other types, for a mix of both, and for ids that are negative or not below 2^63.
    """
    # Checked before numpy sees them: it would turn [1, "a"] into strings, and True into 1.
    kinds = set(map(type, flat))
    strings = [issubclass(kind, str) for kind in kinds]
    integers = [issubclass(kind, int | np.integer) and kind is not bool for kind in kinds]
    if not (all(strings) or all(integers)):
        names = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise XmcpipeError(
            f"{what}: expected labels that are all integers or all strings, got {names}",
            "ids as float32 are exact only up to 16,777,216",
        )
    try:
        labels = np.array(flat, np.int64 if all(integers) else None)
    except OverflowError as error:
        raise XmcpipeError(
            f"{what}: expected label ids below 2^63, got a larger one", "give smaller ids, or names"
        ) from error
    if labels.dtype.kind in "iu" and len(labels) and int(labels.min()) < 0:
        raise XmcpipeError(f"{what}: expected label ids >= 0, got {int(labels.min())}", "ids begin at 0")
    return labels


def _signed(labels: Ints) -> Ints:
    """Labels as signed integers: sums of uint64 (which some C++ tools write) and int64 would be floats."""
    return labels.astype(np.int64) if labels.dtype == np.uint64 else labels


def _indptr(sizes: Ints) -> Int64s:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
