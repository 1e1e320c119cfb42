"""Functions from scores to probabilities rise, stay between 0 and 1, and are fitted where they can be."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from xmcpipe.calibration.fitting import FITS, Method, fit, negative_log_likelihood, ranges
from xmcpipe.calibration.maps import Curve, FrequencyMaps, Sigmoid, from_table, places_of
from xmcpipe.metrics.frequency import bins_of_labels

SCORES = arrays(np.float64, st.integers(1, 40), elements=st.floats(-30, 30))


@settings(max_examples=60, deadline=None)
@given(method=st.sampled_from(list(FITS)), scores=SCORES, seed=st.integers(0, 99))
def test_every_fit_rises_and_gives_probabilities(method: Method, scores: Any, seed: int) -> None:
    hits = np.random.default_rng(seed).random(len(scores)) < 0.4
    function = fit(method, scores, hits)
    at = np.linspace(-1e4, 1e4, 401)
    values = function(at)
    assert np.all((values >= 0) & (values <= 1))
    assert np.all(np.diff(values) >= 0)
    again = from_table(json.loads(json.dumps(function.table())))
    np.testing.assert_array_equal(again(at), values)


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_a_fit_finds_the_probabilities_that_made_the_hits(method: Method) -> None:
    random = np.random.default_rng(3)
    scores = random.normal(0, 3, 40_000)
    truth = Sigmoid(0.6, -0.8)(scores)
    hits = random.random(len(scores)) < truth
    found = fit(method, scores, hits)(scores)
    assert np.abs(found - truth).mean() < 0.015
    plain = negative_log_likelihood(Sigmoid()(scores), hits)
    assert negative_log_likelihood(found, hits) < plain - 500


def test_the_temperature_is_the_one_that_was_used() -> None:
    random = np.random.default_rng(4)
    scores = random.normal(0, 3, 60_000)
    function = fit("temperature", scores, random.random(len(scores)) < Sigmoid(0.5)(scores))
    assert isinstance(function, Sigmoid)
    assert function.slope == pytest.approx(0.5, abs=0.02)
    assert function.intercept == 0


def test_scores_that_tell_hits_apart_without_fault_are_not_certain() -> None:
    scores = np.array([-3.0, -2, -1, 1, 2, 3])
    for method in ("platt", "isotonic"):
        values = fit(method, scores, scores > 0)(np.array([-100.0, 100.0]))
        assert (values[0] > 0) or method == "platt"
        assert values[0] < 0.2
        assert values[1] > 0.8


def test_without_a_pair_the_function_is_the_logistic_one() -> None:
    assert fit("isotonic", np.empty(0, np.float32), np.empty(0, bool)) == Sigmoid()


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"slope": 0.0, "intercept": 1.0},
        {"slope": -1.0, "intercept": 1.0},
        {"slope": float("nan"), "intercept": 0.0},
        {"slope": "much", "intercept": 0.0},
        {"slope": 1.0},
        {"scores": [0.0, 1.0], "probabilities": [0.2]},
        {"scores": [1.0, 0.0], "probabilities": [0.2, 0.3]},
        {"scores": [0.0, 1.0], "probabilities": [0.3, 0.2]},
        {"scores": [0.0, 1.0], "probabilities": [0.3, 1.2]},
        {"scores": [0.0, float("inf")], "probabilities": [0.3, 0.4]},
        {"scores": [], "probabilities": []},
        {"scores": [[0.0]], "probabilities": [[0.5]]},
    ],
)
def test_numbers_that_are_no_such_function_are_refused(table: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # every reason
        from_table(table)


@given(counts=arrays(np.int64, st.integers(1, 60), elements=st.integers(0, 50)), bins=st.integers(1, 6))
def test_ranges_are_the_bins_of_eval(counts: Any, bins: int) -> None:
    if not counts.any():
        counts[0] = 1
    least = ranges(counts, bins)
    assert least[-1] == 0
    places, expected = places_of(least, counts), bins_of_labels(counts, bins)
    _, numbered = np.unique(expected, return_inverse=True)  # bins without labels have no place
    np.testing.assert_array_equal(places, numbered)


def test_each_range_has_its_own_function() -> None:
    maps = FrequencyMaps((10, 0), (Sigmoid(2.0), Curve(np.array([0.0, 1.0]), np.array([0.25, 0.75]))))
    places = maps.places(np.array([3, 10, 11]))
    np.testing.assert_array_equal(places, [1, 0, 0])
    np.testing.assert_allclose(maps(places, np.array([0.5, 0.0, 100.0])), [0.5, 0.5, 1.0])
    for least in ((0, 10), (10,), (10, 10), ()):
        with pytest.raises(ValueError, match="ranges of training documents"):
            FrequencyMaps(least, (Sigmoid(),) * len(least))
