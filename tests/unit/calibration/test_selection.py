"""The way that is kept is the one that is most likely on documents that it was not fitted to."""

import numpy as np
import pytest

from xmcpipe.calibration.fitting import negative_log_likelihood
from xmcpipe.calibration.maps import Sigmoid
from xmcpipe.calibration.reliability import Reliability, reliability_at
from xmcpipe.calibration.selection import Candidates, Way, best_of, probabilities_of, tried

LABELS, COUNT, SHOWN = 50, 800, 6
DOCUMENTS_L = np.arange(LABELS) * 3
WAYS = [Way("none"), *(Way(method, least) for method in ("platt", "isotonic") for least in ((0,), (75, 0)))]


def candidates(slope: float, of_rare: float | None = None, count: int = COUNT) -> Candidates:
    """Documents whose labels have the probability 1 / (1 + exp(-slope * score)); rare ones another slope."""
    random = np.random.default_rng(8)
    labels = random.integers(0, LABELS, (count, SHOWN)).astype(np.int32)
    scores = -np.sort(-random.normal(0, 3, (count, SHOWN)), axis=1).astype(np.float32)
    own = np.where(DOCUMENTS_L[labels] >= 75, slope, slope if of_rare is None else of_rare)
    hits = random.random(scores.shape) < Sigmoid()(own * scores)
    labels[::7, -1] = -1
    return Candidates(labels, scores, hits & (labels >= 0))


def test_many_numbers_gain_nothing_where_scores_are_log_odds() -> None:
    given = candidates(1.0)
    plain, platt, _, *isotonic = (tried(way, given, DOCUMENTS_L, 0) for way in WAYS)
    assert abs(platt.loss - plain.loss) < 1e-3
    assert min(each.loss for each in isotonic) > plain.loss
    # Measured on the documents that they were fitted to, they would win.
    fitted = probabilities_of(isotonic[0].way.fitted(given, DOCUMENTS_L), given, DOCUMENTS_L)
    present = given.labels >= 0
    loss = negative_log_likelihood(fitted[present], given.hits[present]) / present.sum()
    assert loss < plain.loss


def test_scores_that_are_too_sure_are_mended() -> None:
    given = candidates(0.4)
    trials = [tried(way, given, DOCUMENTS_L, 0) for way in WAYS]
    best = best_of(trials)
    assert best.way == Way("platt")
    assert best.loss < trials[0].loss - 0.02
    before, after = (reliability_at(each.probabilities, given.hits, SHOWN).ece for each in (trials[0], best))
    assert after < before / 3


def test_rare_labels_get_a_function_of_their_own_if_they_need_one() -> None:
    given = candidates(1.0, of_rare=0.2)
    best = best_of([tried(way, given, DOCUMENTS_L, 0) for way in WAYS])
    assert best.way == Way("platt", (75, 0))
    maps = best.way.fitted(given, DOCUMENTS_L)
    slopes = [function.slope for function in maps.maps if isinstance(function, Sigmoid)]
    assert slopes == pytest.approx([1.0, 0.2], abs=0.1)


def test_no_document_is_measured_with_a_function_that_was_fitted_to_it() -> None:
    given = candidates(0.4, count=20)
    trial = tried(Way("isotonic"), given, DOCUMENTS_L, 1)
    other = given.hits.copy()
    other[0] = ~other[0] & (given.labels[0] >= 0)
    again = tried(Way("isotonic"), Candidates(given.labels, given.scores, other), DOCUMENTS_L, 1)
    np.testing.assert_array_equal(trial.probabilities[0], again.probabilities[0])
    assert not np.array_equal(trial.probabilities, again.probabilities, equal_nan=True)


def test_places_without_a_label_have_no_probability() -> None:
    given = candidates(1.0)
    found = probabilities_of(Way("platt").fitted(given, DOCUMENTS_L), given, DOCUMENTS_L)
    np.testing.assert_array_equal(np.isnan(found), given.labels < 0)


def test_the_calibration_error_is_that_of_the_definition() -> None:
    random = np.random.default_rng(2)
    probabilities, hits = random.random((300, 4)), random.random((300, 4)) < 0.5
    probabilities[5:9, 2:] = np.nan
    for k in (1, 2, 4):
        pairs = [
            (p, hit)
            for row, right in zip(probabilities[:, :k], hits[:, :k], strict=True)
            for p, hit in zip(row, right, strict=True)
            if not np.isnan(p)
        ]
        error = 0.0
        for number in range(15):
            inside = [(p, hit) for p, hit in pairs if number / 15 <= p < (number + 1) / 15]
            if inside:
                mean, right = (np.mean([each[at] for each in inside]) for at in (0, 1))
                error += len(inside) / len(pairs) * abs(float(mean) - float(right))
        found = reliability_at(probabilities, hits, k)
        assert found.ece == pytest.approx(error)
        assert found.table()["ece"] == found.ece
        assert sum(each["count"] for each in found.table()["bins"]) == len(pairs)
    halves = [reliability_at(probabilities[part], hits[part], 4) for part in (slice(0, 99), slice(99, None))]
    assert (halves[0] + halves[1]).ece == pytest.approx(reliability_at(probabilities, hits, 4).ece)
    assert Reliability.of(np.array([1.0, 0.0]), np.array([True, False])).ece == 0
    assert Reliability.of(np.empty(0), np.empty(0, bool)).ece == 0
