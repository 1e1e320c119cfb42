"""Label lists, one list of labels per document: predictions, truth or training labels, from any file.

Before label lists can be compared, labels and rows must agree: see `numbering` and `joining`.

Legend: N documents · P (document, label) pairs · L labels.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from xmcpipe.data.arrays import row_offsets
from xmcpipe.lookalikes.inputs import Grades

Ints = npt.NDArray[np.integer[Any]]
Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.floating[Any] | np.integer[Any]]


@dataclass(frozen=True)
class LabelLists:
    """Labels of N documents in CSR: those of document n are `labels[indptr[n] : indptr[n + 1]]`.

    `source` names the file in errors. `ids` is string [N], or None if the file has no ids. `indptr` is int64
    [N + 1]. `labels` is int32 or int64 [P]; if there are `names`, labels are positions in them. `scores` is
    [P] or None. `width` is L if the source states it (a matrix, an artifact with its vocabulary), and None if
    the source shows only the labels that occur. `grades` are the values of true labels that are not all 1.
    `notes` say, each in a sentence, how the source was read where it could be read in two ways. If
    `untyped`, the source is text whose labels are all whole numbers, which may be ids or names.
    """

    source: str
    ids: pa.ChunkedArray | None
    indptr: Int64s
    labels: Ints
    scores: Scores | None = None
    names: pa.Array | None = None
    width: int | None = None
    grades: Grades | None = None
    notes: tuple[str, ...] = ()
    untyped: bool = False

    def __len__(self) -> int:
        return len(self.indptr) - 1


def select_rows(lists: LabelLists, rows: Int64s) -> LabelLists:
    """The given rows of the lists, in that order and without ids; the row -1 is an empty list."""
    lengths = np.where(rows >= 0, np.diff(lists.indptr)[rows], 0)
    indptr = row_offsets(lengths)
    within = np.arange(indptr[-1]) - np.repeat(indptr[:-1], lengths)  # 0, 1, … inside each row
    source = np.repeat(lists.indptr[:-1][rows], lengths) + within
    scores = None if lists.scores is None else lists.scores[source]
    return replace(lists, ids=None, indptr=indptr, labels=lists.labels[source], scores=scores)
