"""Figures over labels in three scopes, and the popularity baseline, by hand."""

import numpy as np
import pytest

from xmcpipe.metrics import Training, evaluate
from xmcpipe.metrics.baseline import most_frequent


def test_macro_and_coverage_over_all_tested_and_trained_labels() -> None:
    # labels 0, 1, 2 are tested, 3 is predicted but never true, 4 is neither; 0, 3 and 4 are in training
    training = Training(np.array([5, 0, 0, 2, 1]), 8)
    ranked, truth = [[0, 1], [0, 3], [2, 0]], [[0, 1], [1], [2]]
    figures = evaluate(ranked, truth, training, k=(1, 2), num_labels=5).figures
    # at rank 1 label 0 is predicted twice, right once, true once; label 2 once and right; label 1 never
    assert figures["macro_P_tested@1"] == pytest.approx((1 / 2 + 0 + 1) / 3)
    assert figures["macro_R_tested@1"] == pytest.approx((1 + 0 + 1) / 3)
    assert figures["macro_F1_tested@1"] == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert figures["macro_P_all@1"] == pytest.approx((1 / 2 + 0 + 1) / 5)
    assert figures["macro_F1_trained@1"] == pytest.approx((2 / 3 + 0 + 0) / 3)
    assert figures["coverage_tested@1"] == pytest.approx(2 / 3)
    assert figures["coverage_all@1"] == pytest.approx(2 / 5)
    assert figures["coverage_trained@1"] == pytest.approx(1 / 3)
    # up to rank 2 label 0 is predicted three times, label 1 once and right, of two that are true
    assert figures["macro_P_tested@2"] == pytest.approx((1 / 3 + 1 + 1) / 3)
    assert figures["macro_R_tested@2"] == pytest.approx((1 + 1 / 2 + 1) / 3)
    assert figures["macro_F1_all@2"] == pytest.approx((2 / 4 + 2 / 3 + 1) / 5)
    assert figures["coverage_all@2"] == pytest.approx(3 / 5)
    # micro: 3 of 6 predictions are right; without that of label 3, 3 of 5; of training labels 1 of 4
    assert figures["micro_P_all@2"] == pytest.approx(3 / 6)
    assert figures["micro_P_tested@2"] == pytest.approx(3 / 5)
    assert figures["micro_P_trained@2"] == pytest.approx(1 / 4)
    assert figures["micro_R_trained@2"] == 1.0


def test_a_prediction_that_nobody_knows_is_a_miss_that_micro_precision_counts() -> None:
    figures = evaluate([["a", "new"]], [["a"]], [["a"], ["b"], ["b"]], k=(2,)).figures
    assert figures["micro_P_all@2"] == 0.5
    assert figures["coverage_all@2"] == 0.5  # of a and b


def test_most_frequent_breaks_ties_by_id_and_leaves_out_unseen_labels() -> None:
    assert most_frequent(np.array([0, 4, 7, 4, 0]), 2).tolist() == [2, 1]
    assert most_frequent(np.array([0, 4, 7, 4, 0]), 5).tolist() == [2, 1, 3, -1, -1]
    assert most_frequent(np.array([3]), 3).tolist() == [0, -1, -1]
