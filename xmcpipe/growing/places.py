"""Where new labels go in an output layer, and which features they read.

Without groups, a label has the place of its id, and reads the features that tell its documents best from all
others. Labels of a group read the same features. New labels form groups of their own, of similar labels:
such a group counts as one label, which has the documents of all. If the last old group has free slots, new
labels fill these first, because the place of a label says which group it is in. They read the features of
that group, which stay as they are; those labels are chosen that these features tell apart best.

M new labels, K fan-in, D features, G labels of a group.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from xmcpipe.clustering.ordering import positions
from xmcpipe.growing.fit import Int64s, Problem
from xmcpipe.modeling.heads import Head


class Places(NamedTuple):
    """`order_M` int64: the new label at each place behind the old ones. `features_MK` int64: what each
    of them reads, ascending."""

    order_M: Int64s
    features_MK: Int64s


def choose_places(problem: Problem, positives: Sequence[Int64s], head: Head, seed: int) -> Places:
    """The places of M labels behind those of `head`, and their features.

    `positives` are the rows of the documents of each label; the seed breaks ties between similar labels.
    """
    count, group, fan_in = len(positives), head.shape.group, head.weight.shape[1]
    distance_MD = np.stack([_distance(problem, rows, head.shape.in_features) for rows in positives])
    features_MK = _best(distance_MD, fan_in)
    if group == 1:
        return Places(np.arange(count), features_MK)
    last_K = head.index[-1].cpu().numpy().astype(np.int64)
    fills = _fitting(distance_MD, features_MK, last_K)[: -head.num_labels % group]
    features_MK[fills] = last_K
    others = np.setdiff1d(np.arange(count), fills)
    if len(others):
        others = others[_similar_order(problem, [positives[m] for m in others], head, seed)]
    for begin in range(0, len(others), group):
        members = others[begin : begin + group]
        rows = np.concatenate([positives[m] for m in members])  # once for each label that a document has
        features_MK[members] = _best(_distance(problem, rows, head.shape.in_features)[None], fan_in)
    return Places(np.concatenate([fills, others]), features_MK)


def _distance(problem: Problem, rows: Int64s, in_features: int) -> npt.NDArray[np.float64]:
    """How far the mean of some documents is from that of all, in standard deviations, float64 [D]."""
    return np.abs(_difference(problem, rows, in_features))


def _difference(problem: Problem, rows: Int64s, in_features: int) -> npt.NDArray[np.float64]:
    mean_W = problem.documents.features_nW.numpy()[rows].mean(0, dtype=np.float64)
    found: npt.NDArray[np.float64] = (mean_W - problem.mean_W) / problem.deviation_W
    return found[:in_features]


def _best(distance_MD: npt.NDArray[np.float64], fan_in: int) -> Int64s:
    """The features of the largest distances of each row, int64 [M, K], ascending; of equal ones the first."""
    return np.sort(np.argsort(-distance_MD, axis=1, kind="stable")[:, :fan_in], axis=1)


def _fitting(distance_MD: npt.NDArray[np.float64], best_MK: Int64s, features_K: Int64s) -> Int64s:
    """All labels, those first that lose least of their squared distance if they read `features_K`."""
    kept_M = np.square(distance_MD[:, features_K]).sum(1)
    most_M = np.square(np.take_along_axis(distance_MD, best_MK, 1)).sum(1)
    return np.argsort(-kept_M / np.maximum(most_M, np.finfo(np.float64).tiny), kind="stable")


def _similar_order(problem: Problem, positives: Sequence[Int64s], head: Head, seed: int) -> Int64s:
    """The order of some labels in which G neighbours are similar, as `training.initial.grouping` has it."""
    shape = head.shape
    vectors_MD = np.stack([_difference(problem, rows, shape.in_features) for rows in positives])
    norm_M = np.maximum(np.linalg.norm(vectors_MD, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    vectors, count = (vectors_MD / norm_M).astype(np.float32), len(positives)
    place_M = positions(vectors, np.arange(count), np.zeros(count, np.int32), shape.group, seed)
    return np.argsort(place_M, kind="stable")
