"""Slope and shift that follow label frequency: against scikit-learn's logistic regression, and its ranges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from xmcpipe.calibration.maps import FrequencyMaps, places_of
from xmcpipe.calibration.regression import fine_ranges, fit_by_frequency
from xmcpipe.calibration.selection import Candidates, Way, best_of, probabilities_of, too_rare, tried

DOCUMENTS_L = np.unique(np.geomspace(1, 20_000, 60).astype(np.int64))


def pairs(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels whose scores mean less and are too high the fewer documents the label has."""
    random = np.random.default_rng(4)
    labels = random.integers(0, len(DOCUMENTS_L), count)
    scores = random.normal(0, 3, count).astype(np.float32)
    logarithms = np.log(DOCUMENTS_L)[labels]
    logits = (0.2 + 0.08 * logarithms) * scores - 2 + 0.2 * logarithms
    return scores, random.random(count) < 1 / (1 + np.exp(-logits)), labels


def test_the_functions_are_those_of_a_logistic_regression() -> None:
    scores, hits, labels = pairs(4000)
    # One label a range, so that the logarithm of a range is that of its label.
    least = (*(int(each) for each in DOCUMENTS_L[:0:-1]), 0)
    found = fit_by_frequency(scores, hits, labels, DOCUMENTS_L, least)
    logarithms = np.log(DOCUMENTS_L)[labels]
    columns = np.stack([scores, scores * logarithms, logarithms], 1)
    right, wrong = hits.sum(), (~hits).sum()
    target = np.where(hits, (right + 1) / (right + 2), 1 / (wrong + 2))  # Platt's: each pair is partly both
    model = LogisticRegression(C=1e8, tol=1e-8, max_iter=5000)
    twice, weights = np.concatenate([columns, columns]), np.concatenate([target, 1 - target])
    model.fit(twice, np.repeat([1, 0], len(hits)), sample_weight=weights)
    slope, by_log, shift_by_log = model.coef_[0]
    for documents, function in zip(DOCUMENTS_L[::-1], found, strict=True):
        assert function.slope == pytest.approx(slope + by_log * np.log(documents), abs=2e-3)
        expected = model.intercept_[0] + shift_by_log * np.log(documents)
        assert function.intercept == pytest.approx(expected, abs=5e-3)


def test_it_is_kept_where_scores_of_rare_labels_are_too_high() -> None:
    scores, hits, labels = pairs(6000)
    shape = (1000, 6)
    given = Candidates(labels.reshape(shape).astype(np.int32), scores.reshape(shape), hits.reshape(shape))
    least = fine_ranges(DOCUMENTS_L)
    ways = [Way("none"), Way("platt"), Way("platt", (150, 0)), Way("frequency", least)]
    trials = [tried(way, given, DOCUMENTS_L, 0) for way in ways]
    assert best_of(trials).way == ways[-1]
    assert trials[-1].loss < trials[1].loss - 0.01
    maps = ways[-1].fitted(given, DOCUMENTS_L)
    found = probabilities_of(maps, given, DOCUMENTS_L)
    for rare in (True, False):  # right on average in both halves
        half = (DOCUMENTS_L[given.labels] < 150) == rare
        assert found[half].mean() == pytest.approx(given.hits[half].mean(), abs=0.01)


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=300))
def test_ranges_hold_all_labels_and_are_narrow(documents: list[int]) -> None:
    documents_L = np.array(documents)
    least = fine_ranges(documents_L)
    assert len(least) <= 127
    FrequencyMaps(
        least, fit_by_frequency(np.zeros(0), np.zeros(0, bool), np.zeros(0, int), documents_L, least)
    )
    places = places_of(least, documents_L)
    for place in set(places.tolist()):
        inside = documents_L[places == place]
        assert inside.max() <= max(inside.min() * 1.25 + 1, 1)
    few = documents_L <= 8  # each such number has a range of its own
    assert len(set(places[few].tolist())) == len(set(documents_L[few].tolist()))


def test_without_pairs_scores_are_log_odds() -> None:
    none = np.zeros(0)
    (one, other) = fit_by_frequency(none, none.astype(bool), none.astype(int), np.array([0, 5]), (5, 0))
    assert (one.slope, one.intercept, other.slope, other.intercept) == (1, 0, 1, 0)


def test_labels_that_only_the_split_made_rare_are_left_out() -> None:
    # Every label had two documents or more; the last but one has lost one of its two to the split.
    documents_L, held_out_L = np.array([2, 5, 0, 1, 3]), np.array([0, 1, 0, 1, 0])
    gone_L = too_rare(documents_L, held_out_L)
    np.testing.assert_array_equal(gone_L, [False, False, True, True, False])
    labels = np.array([[3, 0, 2, 4], [1, -1, -1, -1]], np.int32)
    scores = np.arange(8, dtype=np.float32)[::-1].reshape(2, 4)
    hits = np.array([[True, True, False, False], [True, False, False, False]])
    left = Candidates(labels, scores, hits).without(gone_L)
    np.testing.assert_array_equal(left.labels, [[0, 4, -1, -1], [1, -1, -1, -1]])
    np.testing.assert_array_equal(left.scores[0, :2], [6, 4])
    np.testing.assert_array_equal(left.hits[:, :2], [[True, False], [True, False]])
    assert not left.hits[left.labels < 0].any()
