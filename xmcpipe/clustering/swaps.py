"""Improves a balanced partition by exchanging labels between clusters, so that no size changes.

Halving from the top can't undo an early cut through a group of labels. Here each label looks up the
clusters whose mean is nearest to it (faiss), and where a label of cluster A gains by moving to B and one of
B by moving to A, more than the other loses, they change places. A round ranks all such wishes of A for B
and of B for A, pairs them off from the best, and lets each label take part in its best exchange only;
rounds go on while the clusters get tighter.

M vectors, C clusters, D features, N nearest clusters a vector.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xmcpipe.clustering.partition import Float32s, Int32s, cluster_sums, cohesion
from xmcpipe.clustering.vectors import normalise
from xmcpipe.errors import XmcpipeError
from xmcpipe.progress import progress

NEAREST = 8
ROWS = 16_384
LEAST_GAIN = 1e-3  # of the mean cosine, relative: below it a round isn't worth its seconds


@dataclass(frozen=True)
class _Wishes:
    """Moves that labels may make: `row` from cluster `source` to `target`, for a cosine `gain` better."""

    row: Int32s
    source: Int32s
    target: Int32s
    gain: Float32s


def exchange(vectors_MD: Float32s, clusters: Int32s, num_clusters: int, max_rounds: int) -> Int32s:
    """A partition with the sizes of `clusters` (int32 [M]) that is as tight or tighter.

    `vectors_MD` are unit vectors, float32. Raises XmcpipeError where faiss is missing.
    """
    if num_clusters < 2 or max_rounds < 1 or len(clusters) <= num_clusters:
        return clusters
    sums_CD = cluster_sums(vectors_MD, clusters, num_clusters)
    before = cohesion(sums_CD, len(clusters))
    nearest_MN = _nearest(vectors_MD, normalise(sums_CD.copy()))
    with progress("exchange", max_rounds, "rounds") as bar:
        for _ in range(max_rounds):
            moved = _round(vectors_MD, clusters, normalise(sums_CD), nearest_MN)
            sums_CD = cluster_sums(vectors_MD, moved, num_clusters)
            after = cohesion(sums_CD, len(clusters))
            if after <= before:
                break
            clusters, gained, before = moved, after / before - 1, after
            bar.update(1)
            if gained < LEAST_GAIN:
                break
    return clusters


def load_faiss() -> Any:
    """The module faiss. Raises XmcpipeError where it is missing."""
    try:
        import faiss
    except ImportError as error:
        raise XmcpipeError(
            "clustering needs faiss, which is missing", "pip install 'xmcpipe[cpu]'"
        ) from error
    return faiss


def _nearest(vectors_MD: Float32s, means_CD: Float32s) -> Int32s:
    """The clusters with the best cosines, int32 [M, N]."""
    faiss = load_faiss()
    index = faiss.IndexFlatIP(means_CD.shape[1])
    index.add(means_CD)
    nearest_MN = np.empty((len(vectors_MD), min(NEAREST, len(means_CD))), np.int32)
    with progress("assign", len(vectors_MD), "labels", scale=True) as bar:
        for first in range(0, len(vectors_MD), ROWS):
            part = vectors_MD[first : first + ROWS]
            nearest_MN[first : first + ROWS] = index.search(part, nearest_MN.shape[1])[1]
            bar.update(len(part))
    return nearest_MN


def _round(vectors_MD: Float32s, clusters: Int32s, means_CD: Float32s, nearest_MN: Int32s) -> Int32s:
    """`clusters` after one round of exchanges."""
    wishes = _wishes(vectors_MD, clusters, means_CD, nearest_MN)
    there, back = _pairs(wishes, len(means_CD))
    total = wishes.gain[there] + wishes.gain[back]
    one, other = wishes.row[there], wishes.row[back]
    best = np.zeros(len(clusters), np.float32)  # the best exchange of each label
    np.maximum.at(best, one, total)
    np.maximum.at(best, other, total)
    kept = np.flatnonzero((total > 0) & (total == best[one]) & (total == best[other]))
    # Of exchanges that tie exactly, each label keeps the first.
    for rows in (one, other):
        kept = kept[np.unique(rows[kept], return_index=True)[1]]
    both = np.concatenate([one[kept], other[kept]])
    kept = kept[np.bincount(both, minlength=len(clusters))[one[kept]] == 1]
    kept = kept[np.bincount(both, minlength=len(clusters))[other[kept]] == 1]
    moved = clusters.copy()
    moved[one[kept]], moved[other[kept]] = clusters[other[kept]], clusters[one[kept]]
    return moved


def _wishes(vectors_MD: Float32s, clusters: Int32s, means_CD: Float32s, nearest_MN: Int32s) -> _Wishes:
    """The moves of rows to one of their nearest clusters, not their own, that some move back could pay for.

    What is left out, most of it, couldn't have been part of an exchange that is worth it: even the best move
    out of its target loses more than it gains.
    """
    gain_MN = np.empty(nearest_MN.shape, np.float32)
    for first in range(0, len(clusters), ROWS):
        part = slice(first, first + ROWS)
        own = np.einsum("rd,rd->r", vectors_MD[part], means_CD[clusters[part]])
        for column in range(
            nearest_MN.shape[1]
        ):  # not faiss's own cosines: these don't depend on its threads
            target_RD = means_CD[nearest_MN[part, column]]
            gain_MN[part, column] = np.einsum("rd,rd->r", vectors_MD[part], target_RD) - own
    gain_MN[nearest_MN == clusters[:, None]] = -np.inf
    best_C = np.full(len(means_CD), -np.inf, np.float32)
    np.maximum.at(best_C, clusters, gain_MN.max(1))
    row, place = np.nonzero(gain_MN + best_C[nearest_MN] > 0)
    return _Wishes(row.astype(np.int32), clusters[row], nearest_MN[row, place], gain_MN[row, place])


def _pairs(wishes: _Wishes, num_clusters: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Positions of wishes A -> B and of wishes B -> A: best with best, second with second, and so on."""
    low, high = np.minimum(wishes.source, wishes.target), np.maximum(wishes.source, wishes.target)
    key = (low.astype(np.int64) * num_clusters + high) * 2 + (wishes.source > wishes.target)
    order = np.lexsort((wishes.row, -wishes.gain, key))
    key = key[order]
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    rank = np.arange(len(key)) - np.repeat(starts, np.diff(starts, append=len(key)))
    place = (key // 2) * (rank.max(initial=0) + 1) + rank
    up, down = key % 2 == 0, key % 2 == 1
    _, one, other = np.intersect1d(place[up], place[down], assume_unique=True, return_indices=True)
    return order[up][one], order[down][other]
