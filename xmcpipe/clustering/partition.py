"""Partitions of labels into clusters whose sizes differ by at most one, and their cohesion.

A partition is int32 [L]: the cluster of each label.

Legend: M vectors · L labels (L >= M) · C clusters · D features.
"""

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Float32s = npt.NDArray[np.float32]

SUM_ROWS = 65_536  # vectors that are added at a time, which bounds the temporary memory


def boundaries(num_rows: int, num_clusters: int) -> Int64s:
    """Where each cluster begins in an order of the rows, int64 [C + 1].

    Cluster c has the positions [boundaries[c], boundaries[c + 1]).
    """
    return np.arange(num_clusters + 1, dtype=np.int64) * num_rows // num_clusters


def random_partition(num_labels: int, num_clusters: int, seed: int) -> Int32s:
    """A random permutation of the labels, cut at `boundaries`; it depends only on the arguments."""
    order = np.random.default_rng(seed).permutation(num_labels)
    return cut(order, num_clusters)


def cut(order: Int64s, num_clusters: int) -> Int32s:
    """The partition in which cluster c holds `order[boundaries[c] : boundaries[c + 1]]`.

    `order` is a permutation, int64 [M].
    """
    sizes = np.diff(boundaries(len(order), num_clusters))
    clusters = np.empty(len(order), np.int32)
    clusters[order] = np.repeat(np.arange(num_clusters, dtype=np.int32), sizes)
    return clusters


def fill_up(known: Int32s, rows: Int64s, num_labels: int, num_clusters: int, seed: int) -> Int32s:
    """Extend a partition of some labels, whose sizes differ by at most one, to all labels.

    `known` int32 [M] holds the clusters of the labels `rows`, int64 [M]. The other labels, in random order,
    fill the clusters so that the sizes of the result differ by at most one too.
    """
    sizes = np.bincount(known, minlength=num_clusters)
    final_sizes = np.full(num_clusters, num_labels // num_clusters)
    # The clusters that are larger now get the larger final sizes: otherwise one would have to lose a label.
    final_sizes[np.argsort(-sizes, kind="stable")[: num_labels % num_clusters]] += 1
    others = np.setdiff1d(np.arange(num_labels), rows, assume_unique=True)
    clusters = np.empty(num_labels, np.int32)
    clusters[rows] = known
    places = np.repeat(np.arange(num_clusters, dtype=np.int32), final_sizes - sizes)
    clusters[np.random.default_rng(seed).permutation(others)] = places
    return clusters


def cluster_sums(vectors_MD: Float32s, clusters: Int32s, num_clusters: int) -> Float32s:
    """The sum of each cluster's vectors, float32 [C, D]."""
    sums_CD = np.zeros((num_clusters, vectors_MD.shape[1]), np.float32)
    for first in range(0, len(clusters), SUM_ROWS):
        part = clusters[first : first + SUM_ROWS]
        # A 0/1 matrix [clusters that occur, rows]: its product with the vectors is their sum by cluster.
        present, place = np.unique(part, return_inverse=True)
        ones = np.ones(len(part), np.float32)
        member = csr_matrix((ones, (place, np.arange(len(part)))), (len(present), len(part)))
        sums_CD[present] += member @ vectors_MD[first : first + SUM_ROWS]
    return sums_CD


def cohesion(sums_CD: Float32s, num_vectors: int) -> float:
    """The mean cosine between a vector and the mean of its cluster, from the `cluster_sums` of unit vectors.

    For unit vectors x in a cluster with the sum S, the cosines add up to S . S / |S| = |S|, which needs no
    second pass over the vectors.
    """
    return float(np.linalg.norm(sums_CD.astype(np.float64), axis=1).sum() / max(1, num_vectors))
