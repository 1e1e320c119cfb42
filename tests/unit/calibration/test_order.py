"""P@k of labels by score and by probability, against sorting one document at a time."""

import numpy as np
import pytest

from xmcpipe.calibration.maps import FrequencyMaps, Sigmoid
from xmcpipe.calibration.order import orders
from xmcpipe.calibration.saved import Calibration
from xmcpipe.calibration.selection import Candidates
from xmcpipe.calibration.thresholds import Threshold
from xmcpipe.inference.probability import Probabilities

KS = (1, 3)


def measured(count: int, right: float) -> tuple[Candidates, np.ndarray]:
    """Documents of six candidates: the third is the most probable one, and right for a part of them."""
    random = np.random.default_rng(6)
    labels = np.stack([random.permutation(20)[:6] for _ in range(count)]).astype(np.int32)
    labels[::9, 4:] = -1
    scores = -np.sort(-random.normal(0, 1, labels.shape).astype(np.float32), axis=1)
    probabilities = np.where(labels >= 0, random.uniform(0.1, 0.5, labels.shape), np.nan)
    probabilities[:, 2] = 0.9
    hits = (random.random(labels.shape) < 0.2) & (labels >= 0)
    hits[:, 2] = random.random(count) < right
    return Candidates(labels, scores, hits), probabilities


@pytest.mark.parametrize(("count", "right", "better"), [(200, 0.9, "probability"), (200, 0.02, "score")])
def test_precision_is_that_of_sorting(count: int, right: float, better: str) -> None:
    candidates, probabilities = measured(count, right)
    found = orders(candidates, probabilities, KS)
    gains = []
    totals = {name: dict.fromkeys(KS, 0.0) for name in ("score", "probability")}
    for hits, values in zip(candidates.hits, probabilities, strict=True):
        by_probability = sorted(range(6), key=lambda place: (np.isnan(values[place]), -values[place], place))
        of_both = {"score": list(range(6)), "probability": by_probability}
        means = {}
        for name, order in of_both.items():
            precision = [sum(hits[place] for place in order[:k]) / k for k in KS]
            means[name] = sum(precision) / len(KS)
            for k, value in zip(KS, precision, strict=True):
                totals[name][k] += value / count
        gains.append(means["probability"] - means["score"])
    for name, values_of_k in totals.items():
        for k, value in values_of_k.items():
            assert found[name][f"P@{k}"] == pytest.approx(value)
    assert found["gain"] == pytest.approx(np.mean(gains))
    assert found["error"] == pytest.approx(np.std(gains) / np.sqrt(count))
    assert found["better"] == better


def test_a_gain_that_may_be_chance_keeps_the_scores() -> None:
    candidates, probabilities = measured(10, 0.3)
    found = orders(candidates, probabilities, KS)
    assert abs(found["gain"]) < 2 * found["error"]
    assert found["better"] == "score"


@pytest.mark.parametrize(
    ("order", "better", "reorders"),
    [
        ("auto", "probability", True),
        ("auto", "score", False),
        ("auto", None, False),
        ("score", "probability", False),
    ],
)
def test_auto_follows_the_calibration(order: str, better: str | None, reorders: bool) -> None:
    facts = {"candidates": 4} | ({} if better is None else {"order": {"better": better}})
    maps = FrequencyMaps((0,), (Sigmoid(),))
    calibration = Calibration(
        maps, np.zeros(3, np.int8), Threshold(0.5, 0.5), np.full(3, 0.5, np.float32), facts
    )
    assert Probabilities(calibration, None, order).reorders == reorders  # type: ignore[arg-type]
    assert not Probabilities(None, None, "auto").reorders
