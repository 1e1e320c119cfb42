"""The thresholds are those with the largest F1 of all that there are."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmcpipe.calibration.thresholds import (
    OWN_POSITIVES,
    Pairs,
    best_mean_threshold,
    best_threshold,
    global_threshold,
    label_thresholds,
)

PAIRS = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0]), st.booleans()), min_size=1)


def f1(probabilities: Any, hits: Any, positives: int, threshold: float) -> float:
    predicted = probabilities >= threshold
    return float(2 * (predicted & hits).sum() / max(predicted.sum() + positives, 1))


@given(pairs=PAIRS, missed=st.integers(0, 5))
def test_no_other_threshold_has_a_larger_f1(pairs: list[tuple[float, bool]], missed: int) -> None:
    probabilities, hits = np.array([each[0] for each in pairs]), np.array([each[1] for each in pairs])
    positives = int(hits.sum()) + missed
    found = best_threshold(probabilities, hits, positives)
    assert 0 <= found.value <= 1
    if hits.any():
        assert f1(probabilities, hits, positives, found.value) == pytest.approx(found.f1)
    at = [*probabilities, *(probabilities + 1e-6), 0.0]
    assert found.f1 >= max(f1(probabilities, hits, positives, each) for each in at) - 1e-12


@given(pairs=PAIRS, seed=st.integers(0, 9), missed=st.integers(0, 3))
def test_no_other_threshold_has_a_larger_mean_f1(
    pairs: list[tuple[float, bool]], seed: int, missed: int
) -> None:
    probabilities, hits = np.array([each[0] for each in pairs]), np.array([each[1] for each in pairs])
    labels = np.random.default_rng(seed).integers(0, 3, len(pairs))
    positives = np.bincount(labels[hits], minlength=5) + np.array([missed, 0, 0, missed, 0])
    found = best_mean_threshold(Pairs(labels, probabilities, hits, positives))

    def mean(threshold: float) -> float:
        scores = [
            f1(probabilities[labels == label], hits[labels == label], int(positives[label]), threshold)
            for label in np.flatnonzero(positives)
        ]
        return float(np.mean(scores)) if scores else 0.0

    if hits.any():
        assert mean(found.value) == pytest.approx(found.f1)
    assert found.f1 >= max(map(mean, [*probabilities, *(probabilities + 1e-6), 0.0])) - 1e-12


def test_without_a_hit_nothing_is_predicted() -> None:
    probabilities, hits = np.array([0.3, 0.9]), np.zeros(2, bool)
    assert best_threshold(probabilities, hits, 4).value == 1.0
    assert best_mean_threshold(Pairs(np.zeros(2, int), probabilities, hits, np.array([4]))).value == 1.0


def test_frequent_labels_have_their_own_threshold_and_rare_ones_share_one() -> None:
    random = np.random.default_rng(1)
    labels = np.repeat(np.arange(6), [60, 60, 8, 8, 8, 8])
    probabilities = random.random(len(labels))
    # Label 0 is right from 0.8 on, label 1 from 0.3 on, rare labels from 0.5 or, in the other range, 0.1.
    least = np.array([0.8, 0.3, 0.5, 0.5, 0.1, 0.1])
    hits = probabilities >= least[labels]
    positives = np.bincount(labels[hits], minlength=7)
    assert (positives[:2] >= OWN_POSITIVES).all()
    assert (positives[2:] < OWN_POSITIVES).all()
    pairs = Pairs(labels, probabilities, hits, positives)
    found = label_thresholds(pairs, np.array([0, 0, 0, 0, 1, 1, 0], np.int8))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:2], [0.8, 0.3], atol=0.05)
    assert found[2] == found[3] == found[6]
    assert found[4] == found[5] != found[2]
    for label in range(6):
        mine = labels == label
        assert f1(probabilities[mine], hits[mine], int(positives[label]), float(found[label])) == 1.0
    assert global_threshold(pairs).f1 < 1
