"""Bins of labels by training frequency."""

import numpy as np
import pytest

from xmcpipe.errors import XmcpipeError
from xmcpipe.metrics import Training, evaluate
from xmcpipe.metrics.frequency import bins_of_labels


def test_bins_hold_equal_shares_of_the_training_positives() -> None:
    # 12 positives: one label has 4, two have 2, and four have 1
    counts = np.array([1, 2, 4, 1, 2, 1, 1])
    assert bins_of_labels(counts, 3).tolist() == [2, 1, 0, 2, 1, 2, 2]


def test_labels_of_one_frequency_stay_together_and_untrained_ones_are_in_the_last_bin() -> None:
    assert bins_of_labels(np.array([3, 3, 3, 0]), 3).tolist() == [1, 1, 1, 2]
    bins = bins_of_labels(np.random.default_rng(0).integers(0, 40, 500), 10)
    assert set(bins) == set(range(10))


def test_contributions_add_up_to_the_figure() -> None:
    random = np.random.default_rng(0)
    truth = [random.choice(30, 4, replace=False).tolist() for _ in range(50)]
    ranked = [random.permutation(30)[:5].tolist() for _ in truth]
    result = evaluate(ranked, truth, Training(random.integers(0, 30, 30), 99), num_labels=30)
    for bins in (1, 3, 10):
        parts = result.by_frequency(bins)
        assert len(parts) == bins
        for name in ("P@1", "P@5", "PSP@3", "PSP@5"):
            assert sum(part.figures[name] for part in parts) == pytest.approx(result.figures[name])
        assert sum(part.labels for part in parts) == 30
        assert sum(part.tested for part in parts) == result.tested
        assert sum(part.test_positives for part in parts) == 200
        ends = [(part.least, part.most) for part in parts if part.labels]
        assert ends == sorted(ends, reverse=True)
    assert [part.name for part in result.by_frequency()] == ["head", "torso", "tail"]
    assert result.by_frequency(1)[0].figures["macro_F1@5"] == pytest.approx(
        result.figures["macro_F1_tested@5"]
    )


def test_bins_want_training_labels_and_a_number() -> None:
    with pytest.raises(XmcpipeError, match="expected training labels for bins"):
        evaluate([[0]], [[0]], k=(1,)).by_frequency()
    with pytest.raises(XmcpipeError, match="frequency bins, got 0"):
        bins_of_labels(np.array([1]), 0)
    with pytest.raises(XmcpipeError, match="no training document has a label"):
        bins_of_labels(np.array([0, 0]), 3)
