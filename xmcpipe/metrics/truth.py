"""The true labels of a batch of documents as sorted 64-bit keys, row * L + label.

One array answers every question that a metric has about the truth: whether a prediction is a hit (a binary
search), how many labels a document has, and which labels occur. Sorting the keys also turns the rows into
sets: a label that occurs twice in one document's truth counts once. The number of repeated labels is
reported: in other systems this fault of the data has led to a precision of 2.

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
    `repeated` is the number of pairs that were merged because they occurred more than once.
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
        assert len(sizes) * num_labels < 2**63, "the keys of a batch must fit in int64: use smaller batches"
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
        """Which predictions are true, bool [B, K]; no prediction (-1) and an unknown label are not hits."""
        return self.holds(np.arange(len(self.sizes), dtype=np.int64)[:, None], top_BK)

    def holds(self, rows: Int64s, labels: Ints) -> Bools:
        """Which of these pairs are true, bool of the shape that rows and labels broadcast to."""
        sought = rows * self.num_labels + labels
        if not len(self.keys):
            return np.zeros(sought.shape, np.bool_)
        at = np.minimum(np.searchsorted(self.keys, sought), len(self.keys) - 1)
        # The key of -1 equals that of the last label of the row above, and the key of label L that of the
        # first label of the row below.
        found: Bools = (self.keys[at] == sought) & (labels >= 0) & (labels < self.num_labels)
        return found


def count_labels(indptr: Ints, labels: Ints, num_labels: int, rows: int = 1 << 16) -> tuple[Int64s, int]:
    """The number of documents of each label, int64 [L], and the number of repeated pairs that were merged."""
    counts = np.zeros(num_labels, np.int64)
    repeated = 0
    for first in range(0, len(indptr) - 1, rows):
        part = indptr[first : first + rows + 1]
        batch = TruthBatch.of(part, labels[part[0] : part[-1]], num_labels)
        np.add.at(counts, batch.labels, np.int64(1))
        repeated += batch.repeated
    return counts, repeated
