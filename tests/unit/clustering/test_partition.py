"""Partitions: exact, balanced to one, seeded."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmcpipe.clustering.config import default_clusters
from xmcpipe.clustering.partition import (
    boundaries,
    cluster_sums,
    cohesion,
    cut,
    fill_up,
    random_partition,
)


def balanced(clusters: npt.NDArray[np.int32], num_clusters: int) -> bool:
    sizes = np.bincount(clusters, minlength=num_clusters)
    return len(sizes) == num_clusters and int(sizes.max() - sizes.min()) <= 1


@given(st.integers(1, 400), st.data())
def test_a_random_partition_is_balanced_and_seeded(num_labels: int, data: st.DataObject) -> None:
    num_clusters = data.draw(st.integers(1, num_labels))
    clusters = random_partition(num_labels, num_clusters, 3)
    assert clusters.dtype == np.int32
    assert len(clusters) == num_labels
    assert clusters.min() >= 0
    assert balanced(clusters, num_clusters)
    assert np.array_equal(clusters, random_partition(num_labels, num_clusters, 3))


def test_another_seed_is_another_partition() -> None:
    assert not np.array_equal(random_partition(500, 9, 0), random_partition(500, 9, 1))


def test_cut_follows_the_order() -> None:
    assert boundaries(7, 3).tolist() == [0, 2, 4, 7]
    assert cut(np.array([6, 5, 4, 3, 2, 1, 0]), 3).tolist() == [2, 2, 2, 1, 1, 0, 0]
    # 2,812,281 labels times their clusters is more than 32 bits hold
    assert boundaries(2_812_281, 17_148)[-1] == 2_812_281


@given(st.integers(1, 200), st.data())
def test_filling_up_keeps_known_clusters_and_balances_the_rest(num_labels: int, data: st.DataObject) -> None:
    num_clusters = data.draw(st.integers(1, num_labels))
    rows = np.array(sorted(data.draw(st.sets(st.integers(0, num_labels - 1)))), np.int64)
    known = random_partition(len(rows), num_clusters, 1) if len(rows) else np.empty(0, np.int32)
    clusters = fill_up(known, rows, num_labels, num_clusters, 5)
    assert np.array_equal(clusters[rows], known)
    assert clusters.min() >= 0
    assert balanced(clusters, num_clusters)


def test_cohesion_is_the_mean_cosine_to_the_cluster_mean() -> None:
    random = np.random.default_rng(0)
    vectors = random.standard_normal((300, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    clusters = random_partition(300, 7, 0)
    means = np.stack([vectors[clusters == c].mean(0) for c in range(7)])
    cosines = (vectors * means[clusters]).sum(1) / np.linalg.norm(means, axis=1)[clusters]
    sums = cluster_sums(vectors, clusters, 7)
    assert cohesion(sums, 300) == pytest.approx(cosines.mean(), rel=1e-5)


def test_the_default_number_of_clusters() -> None:
    assert default_clusters(670_091) == 4096
    assert [default_clusters(number) for number in (1, 2, 30, 600, 2_812_281)] == [1, 2, 2, 4, 16_384]
