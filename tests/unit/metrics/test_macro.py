"""Macro figures in both scopes, and the popularity baseline, by hand."""

import subprocess
import sys

import numpy as np
import pytest

from xmcpipe.metrics.baseline import most_frequent
from xmcpipe.metrics.evaluator import evaluate


def test_macro_and_coverage_over_all_and_over_tested_labels() -> None:
    # labels 0, 1, 2 are tested, 3 is predicted but never true, 4 is neither
    top = np.array([[0, 1], [0, 3], [2, 0]])
    figures = evaluate(top, np.array([0, 2, 3, 4]), np.array([0, 1, 1, 2]), 5, [1, 2])
    # at rank 1 label 0 is predicted twice, right once, true once; label 2 once and right; label 1 never
    assert figures["macro_P_tested@1"] == pytest.approx((1 / 2 + 0 + 1) / 3)
    assert figures["macro_R_tested@1"] == pytest.approx((1 + 0 + 1) / 3)
    assert figures["macro_F1_tested@1"] == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert figures["macro_P_all@1"] == pytest.approx((1 / 2 + 0 + 1) / 5)
    assert figures["coverage_tested@1"] == pytest.approx(2 / 3)
    assert figures["coverage_all@1"] == pytest.approx(2 / 5)
    # up to rank 2 label 0 is predicted three times, label 1 once and right, of two that are true
    assert figures["macro_P_tested@2"] == pytest.approx((1 / 3 + 1 + 1) / 3)
    assert figures["macro_R_tested@2"] == pytest.approx((1 + 1 / 2 + 1) / 3)
    assert figures["macro_F1_all@2"] == pytest.approx((2 / 4 + 2 / 3 + 1) / 5)
    assert figures["coverage_all@2"] == pytest.approx(3 / 5)


def test_most_frequent_breaks_ties_by_id_and_leaves_out_unseen_labels() -> None:
    assert most_frequent(np.array([0, 4, 7, 4, 0]), 2).tolist() == [2, 1]
    assert most_frequent(np.array([0, 4, 7, 4, 0]), 5).tolist() == [2, 1, 3, -1, -1]
    assert most_frequent(np.array([3]), 3).tolist() == [0, -1, -1]


def test_metrics_need_numpy_alone() -> None:
    code = (
        "import sys, xmcpipe.metrics.evaluator, xmcpipe.metrics.table, xmcpipe.metrics.baseline\n"
        "print(sorted({'torch', 'scipy', 'pyarrow', 'polars', 'pandas', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
