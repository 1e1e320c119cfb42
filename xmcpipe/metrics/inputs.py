"""What callers hold, as labels of N documents in CSR with one numbering.

    a SciPy sparse matrix [N, L]     predictions: every stored value is a score, zeros too; truth, training
                                     and filter: every value but 0 is a label
    an integer array [N, K]          rankings, best first, -1 for none (predictions only)
    a list of N collections          labels, integers or strings; predictions are lists best first, or of
                                     pairs (label, score) in any order, or dicts label -> score

SciPy is not imported: a matrix is known by its `tocsr`.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from xmcpipe.errors import XmcpipeError
from xmcpipe.metrics.ranking import Scores
from xmcpipe.metrics.truth import Int64s, Ints


@dataclass(frozen=True)
class Rows:
    """Labels of N documents: `labels[indptr[n] : indptr[n + 1]]`, with scores where there are any.

    `width` is L where a matrix fixes it, else None. `what` names it in errors.
    """

    what: str
    indptr: Int64s
    labels: Ints
    scores: Scores | None = None
    width: int | None = None

    def __len__(self) -> int:
        return len(self.indptr) - 1


def rows_of(given: Any, what: str) -> Rows:
    """`given` (see the module) as Rows; strings are still strings. `what` is predictions, truth, train, …

    Raises XmcpipeError for anything else, for labels that are not integers or strings, and for negative ones.
    """
    scored = what == "predictions"
    if hasattr(given, "tocsr"):
        if len(given.shape) != 2:
            raise XmcpipeError(f"{what}: a matrix of shape {given.shape} was given", "[N, L] was wanted")
        return _of_matrix(given.tocsr(), what, scored)
    if isinstance(given, np.ndarray) and given.ndim == 2:
        if not scored or given.dtype.kind not in "iu":
            raise XmcpipeError(
                f"{what}: a dense array of {given.dtype} was given",
                "give a SciPy CSR matrix or lists; only rankings may be an integer array",
            )
        present = given >= 0
        return Rows(what, _indptr(present.sum(axis=1)), given[present])
    if not isinstance(given, Sequence | np.ndarray):
        raise XmcpipeError(
            f"{what}: a {type(given).__name__} was given", "give a SciPy CSR matrix or a list of label lists"
        )
    return _of_lists(given, what, scored)


def with_one_numbering(
    parts: Sequence[Rows | None], known: int, fixed: Mapping[str, int | None]
) -> tuple[list[Any], int]:
    """The parts with integer labels of one numbering, and L.

    The first `known` parts (truth, training) make the numbering where neither a matrix nor one of `fixed`
    (name of an argument -> L) does: their labels, sorted, are 0 … L - 1, and labels of other parts follow.
    Raises XmcpipeError for widths that differ, labels beyond them, and integers beside strings.
    """
    there = [part for part in parts if part is not None]
    widths = {part.what: part.width for part in there if part.width is not None}
    widths |= {what: width for what, width in fixed.items() if width is not None}
    if len(set(widths.values())) > 1:
        told = ", ".join(f"{what} {width:,}" for what, width in widths.items())
        raise XmcpipeError(f"the numbers of labels differ: {told}", "give matrices of the same labels")
    kinds = {part.labels.dtype.kind == "U" for part in there if len(part.labels)}
    if len(kinds) > 1:
        raise XmcpipeError(
            "labels are integers in one place and strings in another", "give ids or names everywhere"
        )
    if widths and True in kinds:
        raise XmcpipeError(
            f"labels are strings, and {next(iter(widths))} is about ids", "give ids everywhere"
        )
    if widths:
        width = next(iter(widths.values()))
        for part in there:
            least, most = int(part.labels.min(initial=0)), int(part.labels.max(initial=0))
            if least < 0 or most >= max(width, 1):
                raise XmcpipeError(
                    f"{part.what} has the label id {least if least < 0 else most}, "
                    f"and there are {width:,} labels",
                    "ids begin at 0",
                )
        return list(parts), width
    return _renumbered(parts, known)


def _renumbered(parts: Sequence[Rows | None], known: int) -> tuple[list[Any], int]:
    def distinct(group: Sequence[Rows | None]) -> npt.NDArray[Any]:
        found = [np.unique(part.labels) for part in group if part is not None and len(part.labels)]
        return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)

    names = distinct(parts[:known])
    others = np.setdiff1d(distinct(parts), names, assume_unique=True)
    every = np.concatenate([names, others]) if len(others) else names
    order = np.argsort(every)
    renumbered = [
        None
        if part is None
        else replace(part, labels=order[np.searchsorted(every, part.labels, sorter=order)].astype(np.int64))
        if len(part.labels)
        else replace(part, labels=np.empty(0, np.int64))
        for part in parts
    ]
    return renumbered, len(names)


def _of_matrix(matrix: Any, what: str, scored: bool) -> Rows:
    indptr, labels, data = matrix.indptr.astype(np.int64), _signed(matrix.indices), matrix.data
    width = int(matrix.shape[1])
    if data.dtype.kind not in "iufb":
        raise XmcpipeError(f"{what}: a matrix of {data.dtype} was given", "numbers were wanted")
    if scored:
        return Rows(what, indptr, labels, data, width)
    if data.dtype.kind == "f" and np.isnan(data).any():
        raise XmcpipeError(f"{what}: a value is not a number (NaN)", "1 is a label, 0 is none")
    if not data.all():
        given = data != 0
        indptr = np.concatenate([[0], np.cumsum(given)])[indptr]
        labels = labels[given]
    return Rows(what, indptr, labels, None, width)


def _of_lists(rows: Any, what: str, scored: bool) -> Rows:
    kinds = set(map(type, rows))
    if any(issubclass(kind, str | bytes) for kind in kinds):
        raise XmcpipeError(f"{what}: a string was given as a document", "give a list of labels a document")
    if scored and any(issubclass(kind, Set) for kind in kinds):
        raise XmcpipeError(f"{what}: a set was given, which has no order", "give lists, best first")
    if any(issubclass(kind, Mapping) for kind in kinds):
        if not scored or not all(issubclass(kind, Mapping) for kind in kinds):
            raise XmcpipeError(
                f"{what}: a dict was given as a document",
                "dicts label -> score are predictions, each document's",
            )
        rows = [list(row.items()) for row in rows]
    try:
        indptr = _indptr(np.fromiter(map(len, rows), np.int64, len(rows)))
        flat = list(chain.from_iterable(rows))
    except TypeError as error:
        raise XmcpipeError(f"{what}: {error}", "give a list of labels a document") from error
    scores = None
    if scored and flat and isinstance(flat[0], tuple):
        try:
            labels_of, scores_of = zip(*flat, strict=True)
            flat, scores = list(labels_of), np.array(scores_of, np.float64)
        except (ValueError, TypeError) as error:
            raise XmcpipeError(f"{what}: {error}", "give pairs (label, score)") from error
    return Rows(what, indptr, _labels(flat, what), scores)


def _labels(flat: list[Any], what: str) -> Ints:
    kinds = set(map(type, flat))
    strings = [issubclass(kind, str) for kind in kinds]
    integers = [issubclass(kind, int | np.integer) and kind is not bool for kind in kinds]
    if not (all(strings) or all(integers)):
        names = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise XmcpipeError(
            f"{what}: labels of type {names} were given, all integers or all strings were wanted",
            "a float32 tells ids apart only up to 16,777,216",
        )
    try:
        labels = np.array(flat, np.int64 if all(integers) else None)
    except OverflowError as error:
        raise XmcpipeError(
            f"{what}: a label id of 2^63 or more was given", "give smaller ids, or names"
        ) from error
    if labels.dtype.kind in "iu" and len(labels) and int(labels.min()) < 0:
        raise XmcpipeError(f"{what}: {int(labels.min())} is given as a label id", "ids begin at 0")
    return labels


def _signed(labels: Ints) -> Ints:
    """Unsigned 64-bit ids (some C++ tools write them) would turn sums with signed ones into floats."""
    return labels.astype(np.int64) if labels.dtype == np.uint64 else labels


def _indptr(sizes: Ints) -> Int64s:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
