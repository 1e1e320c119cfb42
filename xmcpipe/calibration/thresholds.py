"""Chooses the probability from which a label is predicted, for the largest F1 on held-out documents.

f1        one threshold for all labels, with the largest micro-averaged F1
macro-f1  a threshold for each label, with the largest F1 of this label: macro F1 is the mean of these

A label with few held-out documents can't tell its threshold. Such labels share one for each range of training
documents: the one with the largest mean of their F1.

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

    def of(self, members_L: Bools) -> "Pairs":
        """The pairs of some labels."""
        here_P = members_L[self.labels]
        positives = np.where(members_L, self.positives, 0)
        return Pairs(self.labels[here_P], self.probabilities[here_P], self.hits[here_P], positives)


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
    right_P = np.cumsum(hits_P[order_P])
    f1_P = 2 * right_P / (np.arange(1, len(order_P) + 1) + positives)
    return _best_cut(probabilities_P[order_P], f1_P)


def best_mean_threshold(pairs: Pairs) -> Threshold:
    """The threshold with the largest mean of the F1 of all labels that a held-out document has.

    Without a hit it is 1: nothing is predicted.
    """
    if not pairs.hits.any():
        return Threshold(1.0, 0.0)
    order_P = np.lexsort((-pairs.probabilities, pairs.labels))  # by label, the most probable first
    labels_P, hits_P = pairs.labels[order_P], pairs.hits[order_P]
    begins_P = np.searchsorted(labels_P, labels_P)
    hits_before_P = np.concatenate([[0], np.cumsum(hits_P)])
    right_P = hits_before_P[1:] - hits_before_P[begins_P]
    predicted_P = np.arange(len(labels_P)) - begins_P + 1
    positives_P = pairs.positives[labels_P]
    # What a label's F1 gains when its threshold falls to this pair; the sum of gains is the sum of F1.
    after_P = 2 * right_P / (predicted_P + positives_P)
    before_P = 2 * (right_P - hits_P) / np.maximum(predicted_P - 1 + positives_P, 1)
    falling = np.argsort(-pairs.probabilities[order_P], kind="stable")
    sums_P = np.cumsum((after_P - before_P)[falling])
    tested = max(int((pairs.positives > 0).sum()), 1)
    return _best_cut(pairs.probabilities[order_P][falling], sums_P / tested)


def _best_cut(falling_P: Float64s, values_P: Float64s) -> Threshold:
    """The threshold after the pair with the largest value; `falling_P` are the probabilities."""
    # A cut between equal probabilities is none.
    values_P = np.where(np.append(falling_P[:-1] == falling_P[1:], False), -1.0, values_P)
    last = int(np.argmax(values_P))
    below = falling_P[last + 1] if last + 1 < len(falling_P) else 0.0
    return Threshold(float((falling_P[last] + below) / 2), float(values_P[last]))


def global_threshold(pairs: Pairs) -> Threshold:
    """The threshold for all labels with the largest micro-averaged F1."""
    return best_threshold(pairs.probabilities, pairs.hits, int(pairs.positives.sum()))


def label_thresholds(pairs: Pairs, place_L: npt.NDArray[np.int8]) -> npt.NDArray[np.float32]:
    """The threshold of each label, float32 [L]; `place_L` int8 [L] is its range of training documents."""
    found_L = np.ones(len(pairs.positives))
    own_L = pairs.positives >= OWN_POSITIVES
    for place in np.unique(place_L[~own_L]):
        members_L = ~own_L & (place_L == place)
        found_L[members_L] = best_mean_threshold(pairs.of(members_L)).value
    order_P = np.argsort(pairs.labels, kind="stable")
    own = np.flatnonzero(own_L)
    begins, ends = (np.searchsorted(pairs.labels[order_P], own, side) for side in ("left", "right"))
    for label, begin, end in zip(own, begins, ends, strict=True):
        mine_P = order_P[begin:end]
        positives = int(pairs.positives[label])
        found_L[label] = best_threshold(pairs.probabilities[mine_P], pairs.hits[mine_P], positives).value
    return found_L.astype(np.float32)
