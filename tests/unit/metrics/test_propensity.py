"""Propensity-scored metrics by hand."""

import math

import numpy as np
import pytest

from xmcpipe.errors import XmcpipeError
from xmcpipe.metrics.evaluator import evaluate
from xmcpipe.metrics.propensity import LabelWeights, inverse_propensity
from xmcpipe.metrics.truth import TruthBatch


def test_inverse_propensity_by_hand() -> None:
    weights = inverse_propensity(np.array([0, 1, 40]), 100, a=0.6, b=2.6)
    c = (math.log(100) - 1) * 3.6**0.6
    assert weights.tolist() == pytest.approx([1 + c * 2.6**-0.6, 1 + c * 3.6**-0.6, 1 + c * 42.6**-0.6])
    assert weights[1] == pytest.approx(math.log(100))  # a label seen once weighs ln N, whatever A and B


def test_fewer_than_three_training_documents_are_refused() -> None:
    with pytest.raises(XmcpipeError, match="2 training documents"):
        inverse_propensity(np.array([1]), 2)
    assert (inverse_propensity(np.array([0, 1, 3]), 3) > 1).all()


def test_psp_is_a_ratio_of_means_and_not_a_mean_of_ratios() -> None:
    weights = np.array([1.0, 10.0])
    # document 0: true 0, hit (1 of 1); document 1: true 1, missed (0 of 10)
    figures = evaluate(np.array([[0], [0]]), np.array([0, 1, 2]), np.array([0, 1]), 2, [1], weights)
    assert figures["PSP@1"] == pytest.approx(1 / 11)
    assert figures["PSP_raw@1"] == pytest.approx(1 / 2)


def test_raw_psp_may_exceed_one_and_its_best_may_have_fewer_than_k_labels() -> None:
    weights = np.array([1.0, 10.0, 4.0])
    figures = evaluate(np.array([[1, 0, 2]]), np.array([0, 2]), np.array([2, 1]), 3, [1, 3], weights)
    assert figures["PSP_raw@1"] == pytest.approx(10)
    assert figures["PSP_raw@3"] == pytest.approx(14 / 3)
    assert figures["PSP@3"] == pytest.approx(1)


def test_the_heaviest_true_labels_of_each_document() -> None:
    weights = LabelWeights.of(np.array([3.0, 1.0, 2.0, 3.0]))
    truth = TruthBatch.of(np.array([0, 4, 4, 5]), np.array([0, 1, 2, 3, 1]), 4)
    assert weights.best(truth, 3).tolist() == [[3, 3, 2], [0, 0, 0], [1, 0, 0]]


def test_psndcg_by_hand() -> None:
    weights = np.array([2.0, 5.0])
    # true {0, 1}; label 0 at rank 1, label 1 at rank 2; the best ranking has them the other way round
    figures = evaluate(np.array([[0, 1]]), np.array([0, 2]), np.array([0, 1]), 2, [2], weights)
    discount = 1 / math.log2(3)
    assert figures["PSnDCG@2"] == pytest.approx((2 + 5 * discount) / (5 + 2 * discount))
