"""An order of the labels in which G neighbours are similar: groups, nested in the clusters.

Clusters follow each other in the order. Within a cluster, labels are ordered by recursive halving, as the
clusters were made, down to the borders of groups. A group lies within a cluster, unless the border of two
clusters divides it. Labels without a vector come last in their cluster.

Legend: L labels · M labels with a vector · D features · C clusters · G labels of a group.
"""

import numpy as np

from xmcpipe.clustering.balanced import refine
from xmcpipe.clustering.partition import Float32s, Int32s, Int64s


def positions(vectors_MD: Float32s, rows_M: Int64s, clusters_L: Int32s, group: int, seed: int) -> Int32s:
    """The position of each label in the order, int32 [L]; labels [g * G, (g + 1) * G) of it are a group.

    `vectors_MD`, float32 unit vectors, are those of the labels `rows_M` (ascending).
    """
    num_labels = len(clusters_L)
    known_L = np.zeros(num_labels, np.bool_)
    known_L[rows_M] = True
    order_L = np.lexsort((~known_L, clusters_L))  # by cluster, labels without a vector last
    place_M = np.flatnonzero(known_L[order_L])  # the places of the labels with a vector
    order_M = np.cumsum(known_L)[order_L[place_M]] - 1  # their rows of `vectors_MD`
    cluster_M = clusters_L[order_L[place_M]]
    starts_cluster_M = np.diff(cluster_M, prepend=-1) != 0
    starts_group_M = np.diff(place_M // group, prepend=-1) != 0
    cuts = np.append(np.flatnonzero(starts_cluster_M | starts_group_M), len(place_M))
    begins = np.append(np.flatnonzero(starts_cluster_M), len(place_M))
    first, last = np.searchsorted(cuts, begins[:-1]), np.searchsorted(cuts, begins[1:])
    refine(vectors_MD, order_M, cuts, first, last, seed)
    order_L[place_M] = rows_M[order_M]
    positions_L = np.empty(num_labels, np.int32)
    positions_L[order_L] = np.arange(num_labels, dtype=np.int32)
    return positions_L
