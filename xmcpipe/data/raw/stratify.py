"""A split in which every label is in the training documents: iterative stratification.

After Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data" (ECML PKDD 2011): labels
are visited from the rarest to the most frequent, and each distributes its documents that rarer labels left.
Unlike there, the number of a label's test documents is rounded at random: otherwise labels of a few documents
would be in training only, and with them most documents of data with many rare labels.
"""

import numpy as np
import numpy.typing as npt

from xmcpipe.data.arrays import row_offsets

Bools = npt.NDArray[np.bool_]
UNDECIDED, TRAIN, TEST = -1, 0, 1


def stratified_test(
    indptr: npt.NDArray[np.int64], codes: npt.NDArray[np.int32], documents: Bools, every: int, seed: int
) -> Bools:
    """Whether each document is in the test split, bool [N]: 1 in `every` of the `documents`, bool [N].

    `indptr`, int64 [N + 1], and `codes`, int32 [P], are the labels of each document, distinct. A label of two
    documents or more has at least one in training, even if the test split gets smaller for it; the label of a
    single document has it in training unless the test split would get smaller. Time and memory grow linearly
    with N, P and the number of labels; the same `seed` gives the same split.
    """
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.arange(len(documents)), np.diff(indptr))
    chosen = documents[rows]
    pair_rows, pair_codes = rows[chosen], codes[chosen]
    counts = np.bincount(pair_codes)
    by_label = pair_rows[np.lexsort((rng.permutation(len(documents))[pair_rows], pair_codes))]
    starts = row_offsets(counts)
    wanted = np.floor(counts / every + rng.random(len(counts))).astype(np.int64)
    split = _Split(indptr, codes, documents, counts, wanted)
    for label in np.argsort(counts, kind="stable").tolist():
        split.distribute(by_label[starts[label] : starts[label + 1]].tolist(), label)
    order = rng.permutation(np.flatnonzero(documents)).tolist()
    size = max(1, round(len(order) / every))
    split.fill(order, size)
    is_test: Bools = np.array(split.side) == TEST
    return is_test


class _Split:
    """The sides of the documents, while they are decided.

    `side`: TRAIN, TEST or UNDECIDED, [N]. For each label, `left`: how many of its documents aren't in TEST,
    and `wanted`: how many more should be.
    """

    def __init__(
        self,
        indptr: npt.NDArray[np.int64],
        codes: npt.NDArray[np.int32],
        documents: Bools,
        counts: npt.NDArray[np.int64],
        wanted: npt.NDArray[np.int64],
    ) -> None:
        # Lists, because single items of NumPy arrays are slow to read; but not of all pairs, they are many.
        self._indptr: list[int] = indptr.tolist()
        self._codes = codes
        self._counts: list[int] = counts.tolist()
        self.left = list(self._counts)
        self.wanted: list[int] = wanted.tolist()
        self.side: list[int] = np.where(documents, UNDECIDED, TRAIN).tolist()

    def distribute(self, documents: list[int], label: int) -> None:
        """Decide the undecided among the documents of a label."""
        for document in documents:
            if self.side[document] != UNDECIDED:
                continue
            if self.wanted[label] > 0 and self._may_leave(document, False):
                self._to_test(document)
            else:
                self.side[document] = TRAIN

    def fill(self, documents: list[int], size: int) -> None:
        """Move documents to TEST, in their order, until it has `size` documents.

        Those that are the only ones with a label are the last.
        """
        missing = size - sum(self.side[document] == TEST for document in documents)
        for alone in (False, True):
            for document in documents:
                if missing <= 0:
                    return
                if self.side[document] != TEST and self._may_leave(document, alone):
                    self._to_test(document)
                    missing -= 1

    def _may_leave(self, document: int, alone: bool) -> bool:
        """Whether TRAIN keeps the labels of the document without it.

        With `alone`, labels that no other document has don't count.
        """
        labels = self._labels(document)
        return all(self.left[label] > 1 or (alone and self._counts[label] == 1) for label in labels)

    def _to_test(self, document: int) -> None:
        self.side[document] = TEST
        for label in self._labels(document):
            self.left[label] -= 1
            self.wanted[label] -= 1

    def _labels(self, document: int) -> list[int]:
        labels: list[int] = self._codes[self._indptr[document] : self._indptr[document + 1]].tolist()
        return labels
