"""The order of the labels in which neighbours form groups."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.clustering.test_balanced import planted
from xmcpipe.clustering.balanced import balanced_clusters
from xmcpipe.clustering.ordering import positions
from xmcpipe.clustering.partition import fill_up


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 60), st.integers(0, 20), st.integers(1, 9), st.integers(1, 20), st.integers(0, 3))
def test_clusters_follow_each_other(num: int, unknown: int, num_clusters: int, group: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((num, 5)).astype(np.float32)
    rows = np.sort(random.permutation(num + unknown)[:num])
    known = balanced_clusters(vectors, num_clusters, seed)
    clusters = fill_up(known, rows, num + unknown, num_clusters, seed)
    places = positions(vectors, rows, clusters, group, seed)
    order = np.argsort(places)
    assert np.array_equal(places[order], np.arange(num + unknown))
    assert (np.diff(clusters[order]) >= 0).all()
    without = ~np.isin(order, rows)
    for cluster in range(num_clusters):  # labels without a vector come last in their cluster
        assert (np.diff(without[clusters[order] == cluster].astype(int)) >= 0).all()


def test_similar_labels_of_a_cluster_come_together() -> None:
    vectors, kind = planted(16, 8, noise=0.05, seed=1)
    clusters = (kind // 4).astype(np.int32)  # of four kinds each
    places = positions(vectors, np.arange(128), clusters, 8, seed=0)
    groups = places // 8
    assert all(len(set(kind[groups == group])) == 1 for group in range(16))
    assert np.array_equal(places, positions(vectors, np.arange(128), clusters, 8, seed=0))
