"""Chooses the probability from which a label is predicted, for the largest F1 on held-out documents.

f1        one threshold for all labels, with the largest micro-averaged F1
macro-f1  a threshold for each label, with the largest F1 of this label; the mean of these is macro F1

A label with few held-out documents can't tell its threshold. Such labels share one for each range of training
documents: the one with the largest F1 of all their pairs together.

P pairs of a document and a candidate label, L labels.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xmcpipe.calibration.maps import Float64s
from xmcpipe.metrics.truth import Bools, Int64s

OWN_POSITIVES = 10  # a label with so many held-out documents gets a threshold of its own


@dataclass(frozen=True)
class Pairs:
    """Candidates of held-out documents: `labels` int64, `probabilities` float64 and `hits` bool, [P] each.

    `positives` int64 [L]: the documents that have each label, among the candidates or not.
    """

    labels: Int64s
    probabilities: Float64s
    hits: Bools
    positives: Int64s


@dataclass(frozen=True)
class Threshold:
    """The smallest probability that is predicted, and the F1 that it has on the held-out documents."""

    value: float
    f1: float


def best_threshold(probabilities_P: Float64s, hits_P: Bools, positives: int) -> Threshold:
    """The threshold with the largest F1 of all pairs together; `positives`: pairs that should be predicted.

    Between two probabilities, it is in the middle. Without a hit it is 1: nothing is predicted.
    """
    if not hits_P.any():
        return Threshold(1.0, 0.0)
    order_P = np.argsort(-probabilities_P, kind="stable")
    falling_P = probabilities_P[order_P]
    right_P = np.cumsum(hits_P[order_P])
    f1_P = 2 * right_P / (np.arange(1, len(falling_P) + 1) + positives)
    # A cut between equal probabilities is none.
    f1_P[:-1][falling_P[:-1] == falling_P[1:]] = -1.0
    last = int(np.argmax(f1_P))
    below = falling_P[last + 1] if last + 1 < len(falling_P) else 0.0
    return Threshold(float((falling_P[last] + below) / 2), float(f1_P[last]))


def global_threshold(pairs: Pairs) -> Threshold:
    """The threshold for all labels with the largest micro-averaged F1."""
    return best_threshold(pairs.probabilities, pairs.hits, int(pairs.positives.sum()))


def label_thresholds(pairs: Pairs, place_L: npt.NDArray[np.int8]) -> npt.NDArray[np.float32]:
    """The threshold of each label, float32 [L]; `place_L` int8 [L] is its range of training documents."""
    found_L = np.ones(len(pairs.positives))
    own_L = pairs.positives >= OWN_POSITIVES
    for place in np.unique(place_L[~own_L]):
        members_L = ~own_L & (place_L == place)
        here_P = members_L[pairs.labels]
        total = int(pairs.positives[members_L].sum())
        shared = best_threshold(pairs.probabilities[here_P], pairs.hits[here_P], total)
        found_L[members_L] = shared.value
    order_P = np.argsort(pairs.labels, kind="stable")
    firsts = np.searchsorted(pairs.labels[order_P], np.flatnonzero(own_L), side="left")
    ends = np.searchsorted(pairs.labels[order_P], np.flatnonzero(own_L), side="right")
    for label, first, end in zip(np.flatnonzero(own_L), firsts, ends, strict=True):
        mine_P = order_P[first:end]
        positives = int(pairs.positives[label])
        found_L[label] = best_threshold(pairs.probabilities[mine_P], pairs.hits[mine_P], positives).value
    return found_L.astype(np.float32)
