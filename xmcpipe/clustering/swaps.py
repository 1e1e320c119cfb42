"""Improves a balanced partition by exchanging labels between clusters, so that no size changes.

Recursive halving can't undo an early cut through a group of labels. Here each label searches for the clusters
whose mean is nearest to it (with faiss). If a label of cluster A would move to B and a label of B to A, and
one gains more cosine than the other loses, the two are exchanged. A round sorts all moves from A to B and
from B to A by gain, pairs the best with the best, the second with the second, and so on, and performs only
the best exchange of each label. Rounds go on while the cohesion grows.

Legend: M vectors · C clusters · D features · J nearest clusters per vector.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xmcpipe.clustering.partition import Float32s, Int32s, cluster_sums, cohesion
from xmcpipe.clustering.vectors import normalise
from xmcpipe.errors import XmcpipeError
from xmcpipe.progress import progress

NEAREST = 8  # J: clusters that a label may move to
ROWS = 16_384  # labels that are scored at a time, which bounds the temporary memory
LEAST_GAIN = 1e-3  # relative gain of the mean cosine; a round that gains less is the last


@dataclass(frozen=True)
class _Moves:
    """Possible moves: of label `row` from cluster `source` to `target`, which raises its cosine by `gain`."""

    row: Int32s
    source: Int32s
    target: Int32s
    gain: Float32s


def exchange(vectors_MD: Float32s, clusters: Int32s, num_clusters: int, max_rounds: int) -> Int32s:
    """A partition with the cluster sizes of `clusters` (int32 [M]), and the same or a higher cohesion.

    `vectors_MD` are unit vectors, float32. Raises XmcpipeError if faiss is missing.
    """
    if num_clusters < 2 or max_rounds < 1 or len(clusters) <= num_clusters:
        return clusters
    sums_CD = cluster_sums(vectors_MD, clusters, num_clusters)
    before = cohesion(sums_CD, len(clusters))
    nearest_MJ = _nearest(vectors_MD, normalise(sums_CD.copy()))
    with progress("exchange", max_rounds, "rounds") as bar:
        for _ in range(max_rounds):
            moved = _round(vectors_MD, clusters, normalise(sums_CD), nearest_MJ)
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
    """Import faiss. Raises XmcpipeError if it is missing."""
    try:
        import faiss
    except ImportError as error:
        raise XmcpipeError(
            "clustering needs faiss, which is not installed", "pip install 'xmcpipe[cpu]'"
        ) from error
    return faiss


def _nearest(vectors_MD: Float32s, means_CD: Float32s) -> Int32s:
    """The clusters with the best cosines, int32 [M, J]."""
    faiss = load_faiss()
    index = faiss.IndexFlatIP(means_CD.shape[1])
    index.add(means_CD)
    nearest_MJ = np.empty((len(vectors_MD), min(NEAREST, len(means_CD))), np.int32)
    with progress("assign", len(vectors_MD), "labels", scale=True) as bar:
        for first in range(0, len(vectors_MD), ROWS):
            part = vectors_MD[first : first + ROWS]
            nearest_MJ[first : first + ROWS] = index.search(part, nearest_MJ.shape[1])[1]
            bar.update(len(part))
    return nearest_MJ


def _round(vectors_MD: Float32s, clusters: Int32s, means_CD: Float32s, nearest_MJ: Int32s) -> Int32s:
    """`clusters` after one round of exchanges."""
    moves = _moves(vectors_MD, clusters, means_CD, nearest_MJ)
    forward, backward = _pairs(moves, len(means_CD))
    total = moves.gain[forward] + moves.gain[backward]
    first, second = moves.row[forward], moves.row[backward]  # the two labels of each exchange
    best = np.zeros(len(clusters), np.float32)  # the best exchange of each label
    np.maximum.at(best, first, total)
    np.maximum.at(best, second, total)
    chosen = np.flatnonzero((total > 0) & (total == best[first]) & (total == best[second]))
    # Exchanges of exactly the same gain can still share a label. Of those with the same first label, or the
    # same second label, one is left; then both exchanges of a label that is first in one and second in the
    # other go.
    for rows in (first, second):
        chosen = chosen[np.unique(rows[chosen], return_index=True)[1]]
    both = np.concatenate([first[chosen], second[chosen]])
    chosen = chosen[np.bincount(both, minlength=len(clusters))[first[chosen]] == 1]
    chosen = chosen[np.bincount(both, minlength=len(clusters))[second[chosen]] == 1]
    moved = clusters.copy()
    moved[first[chosen]], moved[second[chosen]] = clusters[second[chosen]], clusters[first[chosen]]
    return moved


def _moves(vectors_MD: Float32s, clusters: Int32s, means_CD: Float32s, nearest_MJ: Int32s) -> _Moves:
    """The moves to a nearest cluster, other than a row's own, that could be part of a useful exchange.

    Most moves can't, and are dropped: even the best move out of their target loses more than they gain.
    """
    gain_MJ = np.empty(nearest_MJ.shape, np.float32)
    for first in range(0, len(clusters), ROWS):
        part = slice(first, first + ROWS)
        own = np.einsum("rd,rd->r", vectors_MD[part], means_CD[clusters[part]])
        # The cosines are computed here because those of faiss depend on its number of threads.
        for column in range(nearest_MJ.shape[1]):
            target_RD = means_CD[nearest_MJ[part, column]]
            gain_MJ[part, column] = np.einsum("rd,rd->r", vectors_MD[part], target_RD) - own
    gain_MJ[nearest_MJ == clusters[:, None]] = -np.inf
    best_C = np.full(len(means_CD), -np.inf, np.float32)
    np.maximum.at(best_C, clusters, gain_MJ.max(1))
    row, place = np.nonzero(gain_MJ + best_C[nearest_MJ] > 0)
    return _Moves(row.astype(np.int32), clusters[row], nearest_MJ[row, place], gain_MJ[row, place])


def _pairs(moves: _Moves, num_clusters: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Pairs of moves A -> B and B -> A, as positions in `moves`: best with best, second with second, …"""
    # Even keys are moves from the lower cluster of a pair to the higher, odd keys the opposite direction.
    low, high = np.minimum(moves.source, moves.target), np.maximum(moves.source, moves.target)
    key = (low.astype(np.int64) * num_clusters + high) * 2 + (moves.source > moves.target)
    order = np.lexsort((moves.row, -moves.gain, key))
    key = key[order]
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    rank = np.arange(len(key)) - np.repeat(starts, np.diff(starts, append=len(key)))
    # A move's place is its pair of clusters and its rank: two moves at the same place form an exchange.
    place = (key // 2) * (rank.max(initial=0) + 1) + rank
    up, down = key % 2 == 0, key % 2 == 1
    _, in_up, in_down = np.intersect1d(place[up], place[down], assume_unique=True, return_indices=True)
    return order[up][in_up], order[down][in_down]
