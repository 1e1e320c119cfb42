"""Balanced k-means and exchanges: exact sizes, the same result with any threads, planted clusters found."""

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xmcpipe.clustering import balanced, swaps
from xmcpipe.clustering.balanced import balanced_clusters
from xmcpipe.clustering.partition import cluster_sums, cohesion, random_partition
from xmcpipe.clustering.swaps import exchange, load_faiss
from xmcpipe.errors import XmcpipeError

Float32s = npt.NDArray[np.float32]


def unit(vectors: npt.NDArray[np.floating[Any]]) -> Float32s:
    scaled = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return np.asarray(scaled, np.float32)


def planted(num_groups: int, size: int, noise: float, seed: int) -> tuple[Float32s, npt.NDArray[np.int64]]:
    """Unit vectors around `num_groups` random directions, in random order, and the group of each."""
    random = np.random.default_rng(seed)
    group = random.permutation(np.repeat(np.arange(num_groups), size))
    return unit(
        random.standard_normal((num_groups, 24))[group] + noise * random.standard_normal((len(group), 24))
    ), group


def tightness(vectors: Float32s, clusters: npt.NDArray[np.int32], num_clusters: int) -> float:
    return cohesion(cluster_sums(vectors, clusters, num_clusters), len(clusters))


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 70),
    st.integers(1, 80),
    st.integers(1, 4),
    st.integers(0, 3),
    st.booleans(),
    st.sampled_from([2, 5, 1000]),
)
def test_every_size_comes_out_exactly(
    num: int, num_clusters: int, dim: int, seed: int, alike: bool, sample: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(balanced, "SAMPLE_ROWS", sample)
        patch.setattr(balanced, "SCORE_ROWS", 7)
        check_sizes(num, num_clusters, dim, seed, alike)


def check_sizes(num: int, num_clusters: int, dim: int, seed: int, alike: bool) -> None:
    random = np.random.default_rng(seed)
    drawn = random.standard_normal((num, dim))
    drawn[random.random(num) < 0.2] = 0
    vectors = unit(np.ones((num, dim)) if alike else drawn)
    clusters = balanced_clusters(vectors, num_clusters, seed)
    moved = exchange(vectors, clusters, num_clusters, 4)
    sizes = np.bincount(clusters, minlength=num_clusters)
    assert len(sizes) == num_clusters
    assert sizes.max() - sizes.min() <= 1
    assert sizes.sum() == num
    assert np.array_equal(np.bincount(moved, minlength=num_clusters), sizes)
    assert np.array_equal(clusters, balanced_clusters(vectors, num_clusters, seed))
    assert tightness(vectors, moved, num_clusters) >= tightness(vectors, clusters, num_clusters) - 1e-6


@pytest.mark.parametrize("num_groups", [2, 12, 16, 21])
def test_planted_groups_are_found(num_groups: int) -> None:
    vectors, group = planted(num_groups, 30, 0.25, seed=num_groups)
    clusters = exchange(vectors, balanced_clusters(vectors, num_groups, 0), num_groups, 16)
    together = np.zeros((num_groups, num_groups), int)
    np.add.at(together, (clusters, group), 1)
    assert together.max(1).sum() / len(group) > 0.9
    by_chance = tightness(vectors, random_partition(len(group), num_groups, 0), num_groups)
    assert tightness(vectors, clusters, num_groups) > by_chance + 0.2


def test_a_sample_of_a_large_node_gives_a_similar_cohesion(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, _ = planted(16, 200, 0.3, seed=3)
    whole = tightness(vectors, balanced_clusters(vectors, 16, 0), 16)
    sizes: list[int] = []
    separate = balanced._separate

    def watched(points: Float32s, *arguments: Any) -> Any:
        sizes.append(points.shape[1])
        return separate(points, *arguments)

    monkeypatch.setattr(balanced, "_separate", watched)
    monkeypatch.setattr(balanced, "SAMPLE_ROWS", 300)
    assert tightness(vectors, balanced_clusters(vectors, 16, 0), 16) > whole - 0.03
    assert max(sizes) <= 300
    assert min(sizes) > 150


def test_threads_and_batches_do_not_change_a_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, _ = planted(20, 37, 0.6, seed=1)
    results = []
    for cores, batch_bytes in ((1, 16 << 20), (3, 16 << 20), (3, 2048)):
        monkeypatch.setattr(balanced, "usable_cores", lambda cores=cores: cores)
        monkeypatch.setattr(balanced, "BATCH_BYTES", batch_bytes)
        results.append(balanced_clusters(vectors, 45, 7).tobytes())
    assert results[0] == results[1] == results[2]


def test_many_clusters_of_few_labels() -> None:
    vectors, group = planted(1000, 2, 0.05, seed=2)
    clusters = exchange(vectors, balanced_clusters(vectors, 1000, 0), 1000, 16)
    assert np.bincount(clusters).tolist() == [2] * 1000
    order = np.argsort(clusters, kind="stable")
    assert (group[order[::2]] == group[order[1::2]]).mean() > 0.5  # by chance: 0.0005


def test_an_exchange_puts_back_two_labels_that_changed_places() -> None:
    vectors, group = planted(6, 20, 0.2, seed=4)
    wrong = group.astype(np.int32)
    one, other = np.flatnonzero(group == 1)[0], np.flatnonzero(group == 4)[0]
    wrong[[one, other]] = wrong[[other, one]]
    assert np.array_equal(exchange(vectors, wrong, 6, 16), group)
    assert wrong[one] == 4  # the argument is unchanged


def test_exchanges_tighten_a_random_partition_and_are_seedless(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, _ = planted(15, 40, 0.4, seed=5)
    start = random_partition(600, 15, 0)
    moved = exchange(vectors, start, 15, 40)
    assert tightness(vectors, moved, 15) > tightness(vectors, start, 15) + 0.2
    monkeypatch.setattr(swaps, "ROWS", 64)
    assert np.array_equal(exchange(vectors, start, 15, 40), moved)


def test_moves_that_are_dropped_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, _ = planted(15, 40, 0.6, seed=6)
    start, few = random_partition(600, 15, 0), swaps._moves
    counts: list[tuple[int, int]] = []

    def every(
        vectors_MD: Float32s,
        clusters: npt.NDArray[np.int32],
        means_CD: Float32s,
        nearest_MJ: npt.NDArray[np.int32],
    ) -> swaps._Moves:
        row, place = np.nonzero(nearest_MJ != clusters[:, None])
        source, target = clusters[row], nearest_MJ[row, place]
        gain = np.einsum("rd,rd->r", vectors_MD[row], means_CD[target])
        gain -= np.einsum("rd,rd->r", vectors_MD[row], means_CD[source])
        counts.append((len(row), len(few(vectors_MD, clusters, means_CD, nearest_MJ).row)))
        return swaps._Moves(row.astype(np.int32), source, target, gain)

    found = exchange(vectors, start, 15, 16)
    monkeypatch.setattr(swaps, "_moves", every)
    assert np.array_equal(exchange(vectors, start, 15, 16), found)
    assert all(few < many for many, few in counts)


def test_no_rounds_is_no_exchange() -> None:
    vectors, _ = planted(3, 10, 0.4, seed=5)
    start = random_partition(30, 3, 0)
    assert np.array_equal(exchange(vectors, start, 3, 0), start)


def test_missing_faiss_is_an_error_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(XmcpipeError, match="needs faiss") as error:
        load_faiss()
    assert error.value.hint == "pip install 'xmcpipe[cpu]'"
