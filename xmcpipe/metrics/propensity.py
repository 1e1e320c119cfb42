"""Propensities: a hit on a rare label weighs more, because its positives are more often missing.

Jain, Prabhu and Varma (KDD 2016) model the probability p_l that a true label l was recorded, from the number
n_l of its training documents and the number N of all training documents, with two constants A and B of the
dataset:

    1 / p_l = 1 + C (n_l + B)^-A,      C = (ln N - 1) (B + 1)^A

n_l and N are counted in the training set, never in the test set. Figures that use these weights (PSP, PSR,
PSnDCG, see definitions/propensity_scored.py) mean nothing without A, B and N: record the three with them.

Legend: L labels · B documents of a batch · K ranks.
"""

from dataclasses import dataclass

import numpy as np

from xmcpipe.errors import XmcpipeError
from xmcpipe.metrics.truth import Floats, Int64s, Ints, TruthBatch

FEWEST_DOCUMENTS = 3  # of which ln N is at least 1


@dataclass(frozen=True)
class Training:
    """The counts of the training labels that metrics use.

    `counts` int64 [L] is the number of training documents of each label, `documents` the number of all
    training documents, `repeated` the number of labels that occurred twice in a document and were merged.
    `kind` defines a document: `standard` counts those of the training set; `paper` also counts each label
    text as a document with that label, as papers do that train on label texts. Raises XmcpipeError for counts
    that are not integers from 0 to `documents`.
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
                f"expected integer training counts [L] and an integer number of documents, got shape "
                f"{counts.shape} of {counts.dtype} and {self.documents!r}",
                "for example np.ravel((train > 0).sum(axis=0)) and train.shape[0]",
            )
        if len(counts) and not 0 <= counts.min() <= counts.max() <= self.documents:
            raise XmcpipeError(
                f"expected training counts from 0 to the {self.documents:,} documents, got "
                f"{counts.min():,} to {counts.max():,}",
                "count each label at most once per document",
            )
        object.__setattr__(self, "counts", counts.astype(np.int64, copy=False))


def inverse_propensity(counts: Ints, documents: int, a: float = 0.55, b: float = 1.5) -> Floats:
    """1/p_l, float64 [L], from the number of training documents of each label, [L], and of all documents, N.

    A and B are 0.5 and 0.4 for Wikipedia, 0.6 and 2.6 for Amazon, 0.55 and 1.5 for everything else. Raises
    XmcpipeError for fewer than 3 training documents, where ln N < 1 would make rare labels weigh less than 1,
    and unless a >= 0, b > 0 and (b + 1)^a < 1e100.
    """
    if documents < FEWEST_DOCUMENTS:
        raise XmcpipeError(
            f"expected {FEWEST_DOCUMENTS} or more training documents for PSP, got {documents}",
            "train on more documents or, to measure files without PSP, omit the training labels (--train)",
        )
    if not (0 <= a < np.inf and 0 < b < np.inf):
        raise XmcpipeError(f"expected a >= 0 and b > 0, got a = {a}, b = {b}")
    if a * np.log(b + 1) > np.log(1e100):  # floats must have room for sums of weights
        raise XmcpipeError(f"expected (b + 1)^a below 1e100, got a = {a:g}, b = {b:g}")
    c = (np.log(documents) - 1) * (b + 1) ** a
    return np.asarray(1 + c * (counts + b) ** -a, np.float64)


@dataclass(frozen=True)
class LabelWeights:
    """Weights of the labels, with an order that finds a document's heaviest labels fast.

    `inverse` float64 [L] is 1/p_l; `descending` holds the same values sorted; `place` int64 [L] is the
    position of each label in `descending`.
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
        """The k largest weights of each document's true labels, descending, float64 [B, k]; then 0."""
        labels = truth.labels
        # Keys row * L + place: one sort puts the heaviest labels of every row first.
        rows = truth.keys - labels
        in_order = np.sort(rows + self.place[labels])
        starts = np.cumsum(truth.sizes) - truth.sizes
        present_BK = np.arange(k) < truth.sizes[:, None]
        best_BK = np.zeros(present_BK.shape)
        places = in_order[(starts[:, None] + np.arange(k))[present_BK]] % truth.num_labels
        best_BK[present_BK] = self.descending[places]
        return best_BK
