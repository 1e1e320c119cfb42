"""The paired bootstrap: against theory, against itself, and against a plain loop."""

import math

import numpy as np
import pytest

from xmcpipe.errors import XmcpipeError
from xmcpipe.metrics import Evaluation, compare, evaluate
from xmcpipe.metrics import bootstrap as module
from xmcpipe.metrics.bootstrap import difference, interval, resampled

TRAIN = [[0], [1], [2], [0, 1]]


def system(right: int, documents: int = 400, first: int = 0) -> Evaluation:
    """A system that is right in `right` documents from `first` on."""
    hits = [[0] if first <= n < first + right else [1] for n in range(documents)]
    return evaluate(hits, [[0]] * documents, TRAIN, k=(1,), num_labels=3)


def test_the_interval_is_that_of_the_binomial_distribution() -> None:
    found = system(120).intervals(rounds=4000)["P@1"]
    half = 1.96 * math.sqrt(0.3 * 0.7 / 400)
    assert found.low == pytest.approx(0.3 - half, abs=0.004)
    assert found.high == pytest.approx(0.3 + half, abs=0.004)


def test_a_round_is_a_resampling_of_documents_with_the_same_draws_for_all_terms() -> None:
    terms_NC = np.random.default_rng(1).random((7, 3))
    sums_RC = resampled(terms_NC, 5, seed=3)
    random = np.random.default_rng(3)
    for row in sums_RC:
        assert row == pytest.approx(terms_NC[random.integers(0, 7, 7)].sum(axis=0))


def test_blocks_of_any_size_draw_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    terms_NC = np.random.default_rng(1).random((50, 4))
    whole = resampled(terms_NC, 20, seed=0)
    monkeypatch.setattr(module, "DRAWN", 150)
    monkeypatch.setattr(module, "BATCH", 13)
    assert resampled(terms_NC, 20, seed=0) == pytest.approx(whole, rel=1e-12)


def test_every_metric_over_documents_has_an_interval_around_it() -> None:
    random = np.random.default_rng(0)
    truth = [random.choice(8, 3, replace=False).tolist() for _ in range(200)]
    result = evaluate([random.permutation(8)[:5].tolist() for _ in truth], truth, TRAIN, num_labels=8)
    intervals = result.intervals(rounds=200)
    assert set(intervals) == {name for name in result.figures if name in intervals}
    for name in ("P", "R", "nDCG", "hits", "MRR", "PSP", "PSP_raw", "PSR", "PSnDCG", "micro_F1_all"):
        for k in (1, 3, 5):
            found = intervals[f"{name}@{k}"]
            assert found.low <= result.figures[f"{name}@{k}"] <= found.high
            assert found.high - found.low < 0.35
    assert not [name for name in intervals if "macro" in name or "coverage" in name]


def test_the_seed_decides() -> None:
    one = system(100)
    assert one.intervals(50, seed=1) == one.intervals(50, seed=1)
    assert one.intervals(50, seed=1) != one.intervals(50, seed=2)


def test_a_system_does_not_differ_from_itself() -> None:
    found = compare(system(100), system(100), rounds=100)["P@1"]
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert not found.significant


def test_pairing_cancels_common_variation() -> None:
    """12 more of 400 documents are right, of 200: alone each interval is wide, the difference's is not."""
    better, worse = system(212), system(200)
    alone = better.intervals(500)["P@1"]
    found = compare(better, worse, rounds=500)["P@1"]
    assert found.difference == pytest.approx(0.03)
    assert found.significant
    assert found.p < 0.05
    assert found.high - found.low < (alone.high - alone.low) / 2
    other = compare(worse, better, rounds=500)["P@1"]
    assert (other.low, other.high) == pytest.approx((-found.high, -found.low))


def test_systems_that_are_right_elsewhere_do_not_differ_significantly() -> None:
    found = compare(system(205), system(200, first=200), rounds=500)["P@1"]
    assert found.difference == pytest.approx(0.0125)
    assert not found.significant
    assert found.p > 0.5


def test_star_and_p_agree_for_any_number_of_rounds() -> None:
    better, worse = system(212), system(200)
    for rounds in (1, 3, 10, 39, 40, 200):
        for level in (0.9, 0.95, 0.99):
            found = compare(better, worse, rounds, level)["P@1"]
            assert found.significant == (found.p < 1 - level - 1e-12)
            assert found.p >= 2 / (rounds + 1)
            assert found.low > 0 or not found.significant
    assert not compare(better, worse, rounds=3)["P@1"].significant
    assert compare(better, worse, rounds=200)["P@1"].significant


def test_the_rate_of_false_alarms_is_that_of_the_level() -> None:
    random = np.random.default_rng(0)
    rounds, alarms, trials = 200, 0, 200
    for _ in range(trials):
        pair_N2 = random.random((60, 2))
        first_R, second_R = resampled(pair_N2, rounds, int(random.integers(1 << 30))).T / 60
        alarms += difference(0, 0, first_R, second_R, 0.9).significant
    assert 0.05 < alarms / trials < 0.17


def test_impossible_comparisons_and_draws_are_refused() -> None:
    with pytest.raises(XmcpipeError, match="the same truth"):
        compare(system(10), system(10, documents=401))
    with pytest.raises(XmcpipeError, match="the same truth"):
        compare(system(1, 2), evaluate([[0], [1]], [[0], [0]], TRAIN, k=(1,), a=0.6, num_labels=3))
    rows = [[1, 0], [1, 0]]
    one, other = (evaluate(rows, [[1], [1]], k=(1,), num_labels=2, exclude=out) for out in (None, [[0], []]))
    with pytest.raises(XmcpipeError, match="excluded pairs"):  # though the truth is the same
        compare(one, other)
    same = evaluate(rows, [[1], [1]], k=(1,), num_labels=2, exclude=[[0], []])
    assert compare(other, same, rounds=9)["P@1"].difference == 0
    with pytest.raises(XmcpipeError, match="got 0 and"):
        system(10).intervals(rounds=0)
    with pytest.raises(XmcpipeError, match="level"):
        interval(np.array([1.0]), 95)
