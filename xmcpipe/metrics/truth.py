"""The true labels of a batch of documents as sorted 64-bit keys, row * L + label.

One array answers everything that a metric asks of the truth: is this prediction a hit (a binary search), how
many labels has a document, which labels are there. Sorting the keys also makes sets of the rows: a label that
is twice in one document's truth counts once, and how many were repeated is kept, because a repeated label is
a fault of the data that has given other systems a precision of 2.

Legend: B documents of a batch · K ranks · L labels · P (document, true label) pairs.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.integer[Any]]
Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class TruthBatch:
    """True labels of B documents.

    `keys` int64 [P], sorted and distinct; `sizes` int64 [B], the number of labels of each document;
    `repeated` is the number of pairs that were given more than once and merged.
    """

    keys: Int64s
    sizes: Int64s
    num_labels: int
    repeated: int

    @staticmethod
    def of(indptr: Ints, labels: Ints, num_labels: int) -> "TruthBatch":
        """From a CSR pattern: document b has `labels[indptr[b] - indptr[0] : indptr[b + 1] - indptr[0]]`.

        So `indptr` [B + 1] may be a slice of a larger one. Labels in [0, num_labels), in any order.
        """
        sizes = np.diff(indptr).astype(np.int64)
        assert len(sizes) * num_labels < 2**63, "fewer documents a batch"
        keys = np.repeat(np.arange(len(sizes), dtype=np.int64) * num_labels, sizes) + labels
        repeated = 0
        if np.any(keys[1:] <= keys[:-1]):
            keys.sort()
            first = np.concatenate([keys[:1] == keys[:1], keys[1:] != keys[:-1]])
            repeated = len(keys) - int(first.sum())
            if repeated:
                keys = keys[first]
                sizes = np.bincount(keys // num_labels, minlength=len(sizes)).astype(np.int64)
        return TruthBatch(keys, sizes, num_labels, repeated)

    @property
    def labels(self) -> Int64s:
        """The label of each pair, int64 [P]."""
        return self.keys % self.num_labels

    def hits(self, top_BK: Ints) -> Bools:
        """Which predictions are true, bool [B, K]; no prediction (-1) and an unknown label are no hit."""
        return self.holds(np.arange(len(self.sizes), dtype=np.int64)[:, None], top_BK)

    def holds(self, rows: Int64s, labels: Ints) -> Bools:
        """Which of these pairs are there, bool of the shape that rows and labels broadcast to."""
        wanted = rows * self.num_labels + labels
        if not len(self.keys):
            return np.zeros(wanted.shape, np.bool_)
        at = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        # the key of -1 is the last label of the row above, that of label L the first of the row below
        found: Bools = (self.keys[at] == wanted) & (labels >= 0) & (labels < self.num_labels)
        return found


def count_labels(indptr: Ints, labels: Ints, num_labels: int, rows: int = 1 << 16) -> tuple[Int64s, int]:
    """How many documents each label has, int64 [L], and how many repeated pairs were merged."""
    counts = np.zeros(num_labels, np.int64)
    repeated = 0
    for first in range(0, len(indptr) - 1, rows):
        piece = indptr[first : first + rows + 1]
        batch = TruthBatch.of(piece, labels[piece[0] : piece[-1]], num_labels)
        np.add.at(counts, batch.labels, np.int64(1))
        repeated += batch.repeated
    return counts, repeated
