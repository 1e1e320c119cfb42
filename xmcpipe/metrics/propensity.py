"""Propensities: a hit on a rare label weighs more, because its positives are more often missing.

Jain, Prabhu and Varma (KDD 2016) model the chance p_l that a true label l was recorded, from its n_l
documents among the N of the training set, with two constants A and B that belong to the dataset:

    1 / p_l = 1 + C (n_l + B)^-A,      C = (ln N - 1) (B + 1)^A

n_l and N are those of the training matrix, never of the test. The figures that are made of these weights
(PSP, PSR, PSnDCG, see terms.py) mean nothing without A, B and N: record the three beside them.
"""

from dataclasses import dataclass

import numpy as np

from xmcpipe.errors import XmcpipeError
from xmcpipe.metrics.truth import Floats, Int64s, Ints, TruthBatch


@dataclass(frozen=True)
class Training:
    """What metrics need of the training labels.

    `counts` int64 [L], the training documents of each label; `documents`, how many there are in all;
    `repeated`, how many labels stood twice in a document and were merged. `kind` says what is a document:
    `standard` those of the training set; in `paper` each label text is one more, labelled by itself, as
    papers count that train on label texts. Raises XmcpipeError for counts that aren't whole, from 0 to
    `documents`.
    """

    counts: Int64s
    documents: int
    repeated: int = 0
    kind: str = "standard"

    def __post_init__(self) -> None:
        counts = np.asarray(self.counts)
        whole = counts.ndim == 1 and counts.dtype.kind in "iuf" and np.array_equal(counts, np.floor(counts))
        if not (whole and isinstance(self.documents, int | np.integer)):
            raise XmcpipeError(
                f"training counts of shape {counts.shape} and type {counts.dtype}, and {self.documents!r} "
                "documents were given, whole numbers [L] and one were wanted",
                "as in np.ravel((train > 0).sum(axis=0)) and train.shape[0]",
            )
        if len(counts) and not 0 <= counts.min() <= counts.max() <= self.documents:
            raise XmcpipeError(
                f"training counts from {counts.min():,} to {counts.max():,} were given, and there are "
                f"{self.documents:,} documents",
                "a label is in 0 documents or more, and in none twice",
            )
        object.__setattr__(self, "counts", counts.astype(np.int64, copy=False))


def inverse_propensity(counts: Ints, documents: int, a: float = 0.55, b: float = 1.5) -> Floats:
    """1/p_l, float64 [L], from the training documents of each label, [L], and of the training set.

    A and B are 0.5 and 0.4 for Wikipedia, 0.6 and 2.6 for Amazon, 0.55 and 1.5 for everything else. Raises
    XmcpipeError for fewer than 3 training documents, where ln N < 1 would make rare labels weigh less than 1,
    and for a below 0 or b not above 0.
    """
    if documents < 3:
        raise XmcpipeError(
            f"{documents} training documents were given, PSP needs 3 or more", "leave the training labels out"
        )
    if not (0 <= a < np.inf and 0 < b < np.inf):
        raise XmcpipeError(f"a = {a}, b = {b} was given, a >= 0 and b > 0 were wanted")
    c = (np.log(documents) - 1) * (b + 1) ** a
    return np.asarray(1 + c * (counts + b) ** -a, np.float64)


@dataclass(frozen=True)
class LabelWeights:
    """Weights of the labels, with the order that finds a document's heaviest labels fast.

    `inverse` float64 [L] is 1/p_l; `descending` the same in falling order; `place` int64 [L] is where a label
    stands there.
    """

    inverse: Floats
    place: Int64s
    descending: Floats

    @staticmethod
    def of(inverse: Floats) -> "LabelWeights":
        """From 1/p_l of each label."""
        order = np.argsort(-inverse, kind="stable")
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        return LabelWeights(inverse, place, inverse[order])

    def best(self, truth: TruthBatch, k: int) -> Floats:
        """The k largest weights of each document's true labels, falling, float64 [B, k]; then 0."""
        labels = truth.labels
        # row * L + place: one sort orders the labels of every row by their weight
        rows = truth.keys - labels
        in_order = np.sort(rows + self.place[labels])
        starts = np.cumsum(truth.sizes) - truth.sizes
        present_BK = np.arange(k) < truth.sizes[:, None]
        best_BK = np.zeros(present_BK.shape)
        places = in_order[(starts[:, None] + np.arange(k))[present_BK]] % truth.num_labels
        best_BK[present_BK] = self.descending[places]
        return best_BK
