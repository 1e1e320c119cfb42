"""Labels in the order of their probabilities, against sorting one document at a time."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xmcpipe.calibration.maps import FrequencyMaps, Sigmoid
from xmcpipe.calibration.saved import Calibration
from xmcpipe.calibration.thresholds import Threshold
from xmcpipe.errors import XmcpipeError
from xmcpipe.inference.probability import Probabilities, probabilities

LABELS = 12
PLACES = np.array([0, 1] * (LABELS // 2), np.int8)  # labels of odd ids are rare: their scores mean less
MAPS = FrequencyMaps((50, 0), (Sigmoid(1.0, 0.5), Sigmoid(0.25, -1.0)))
CALIBRATION = Calibration(
    MAPS, PLACES, Threshold(0.5, 0.5), np.full(LABELS, 0.5, np.float32), {"candidates": 8}
)
ADDED = torch.linspace(0, 2, LABELS)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 6),
    st.booleans(),
    st.sampled_from([0.0, 1.0, 9.0]),
    st.booleans(),
)
def test_the_order_is_that_of_log_odds(seed: int, k: int, favour: bool, spread: float, blank: bool) -> None:
    random = np.random.default_rng(seed)
    found = Probabilities(CALIBRATION, ADDED if favour else None, "probability")
    count = found.count(k)
    assert count == max(2 * k, 8)
    labels = np.stack([random.permutation(LABELS)[:count] for _ in range(3)]).astype(np.int32)
    scores = -np.sort(-random.normal(0, spread, labels.shape).astype(np.float32), axis=1)
    if blank:
        labels[1] = -1
    best, new, values = found.ranked(labels, scores, k)
    assert best.shape == new.shape == values.shape == (3, k)
    for row in range(3):
        if labels[row, 0] < 0:
            assert (best[row] == -1).all()
            continue
        rated = []
        for label, score in zip(labels[row].tolist(), scores[row].tolist(), strict=True):
            plain = score - float(ADDED[label]) if favour else score
            logit = plain + 0.5 if label % 2 == 0 else 0.25 * plain - 1
            rated.append((logit + (float(ADDED[label]) if favour else 0.0), label, logit))
        expected = sorted((each[0] for each in rated), reverse=True)[:k]
        np.testing.assert_allclose(new[row], expected, rtol=1e-5, atol=1e-4)
        by_label = {label: (value, logit) for value, label, logit in rated}
        for label, score, value in zip(best[row].tolist(), new[row], values[row], strict=True):
            assert score == pytest.approx(by_label[label][0], rel=1e-5, abs=1e-4)
            assert value == pytest.approx(1 / (1 + np.exp(-by_label[label][1])), abs=1e-4)


def test_by_score_nothing_changes() -> None:
    found = Probabilities(CALIBRATION, None)
    labels, scores = np.array([[1, 0, -1]], np.int32), np.array([[5.0, 4.0, 0.0]], np.float32)
    assert found.count(3) == 3
    best, same, values = found.ranked(labels, scores, 3)
    np.testing.assert_array_equal(best, labels)
    np.testing.assert_array_equal(same, scores)
    np.testing.assert_allclose(values[0, :2], [1 / (1 + np.exp(-0.25)), 1 / (1 + np.exp(-4.5))], rtol=1e-5)


def test_sure_scores_have_finite_log_odds_and_keep_their_order() -> None:
    found = Probabilities(CALIBRATION, None, "probability")
    labels = np.array([[0, 2, 4, 6, 1, 3, 5, 7]], np.int32)
    scores = np.array([[900.0, 800.0, 700.0, 3.0, 2.0, 1.0, -800.0, -9000.0]], np.float32)
    best, new, _ = found.ranked(labels, scores, 8)
    assert np.isfinite(new).all()
    assert best[0, :3].tolist() == [0, 2, 4]
    assert (np.diff(new[0]) <= 0).all()


def test_without_a_calibration_it_is_refused() -> None:
    with pytest.raises(XmcpipeError, match=r"expected a calibration of MODEL for predict\.order") as error:
        probabilities({}, None, None, "probability", "MODEL")
    assert "[calibrate]" in (error.value.hint or "")


def test_auto_says_that_a_calibration_is_too_old(caplog: pytest.LogCaptureFixture) -> None:
    found = probabilities({}, None, CALIBRATION, "auto", "MODEL")
    assert found is not None
    assert not found.reorders
    assert "calibration of MODEL is older" in caplog.text
    assert "xmcpipe calibrate --force" in caplog.text
