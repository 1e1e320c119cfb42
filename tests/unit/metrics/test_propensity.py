"""Propensity-scored metrics by hand."""

import math

import numpy as np
import pytest

from xmcpipe.errors import XmcpipeError
from xmcpipe.metrics import evaluate, inverse_propensity
from xmcpipe.metrics.propensity import LabelWeights
from xmcpipe.metrics.truth import TruthBatch

TRAIN = [[0]] * 9 + [[1]]  # label 1 is rare


def test_inverse_propensity_by_hand() -> None:
    weights = inverse_propensity(np.array([0, 1, 40]), 100, a=0.6, b=2.6)
    c = (math.log(100) - 1) * 3.6**0.6
    assert weights.tolist() == pytest.approx([1 + c * 2.6**-0.6, 1 + c * 3.6**-0.6, 1 + c * 42.6**-0.6])
    assert weights[1] == pytest.approx(math.log(100))  # a label seen once weighs ln N, whatever A and B


def test_fewer_than_three_training_documents_are_refused() -> None:
    with pytest.raises(XmcpipeError, match="got 2"):
        inverse_propensity(np.array([1]), 2)
    assert (inverse_propensity(np.array([0, 1, 3]), 3) > 1).all()


@pytest.mark.parametrize(("a", "b"), [(-0.1, 1.5), (0.5, 0.0), (float("nan"), 1.0)])
def test_impossible_constants_are_refused(a: float, b: float) -> None:
    with pytest.raises(XmcpipeError, match="expected a >= 0 and b > 0"):
        inverse_propensity(np.array([1]), 10, a, b)


def test_psp_is_a_ratio_of_means_and_not_a_mean_of_ratios() -> None:
    light, heavy = inverse_propensity(np.array([9, 1]), 10)
    # document 0: true 0, hit (its ratio is 1); document 1: true 1, missed (its ratio is 0)
    figures = evaluate([[0], [0]], [[0], [1]], TRAIN, k=(1,)).figures
    assert figures["PSP@1"] == pytest.approx(light / (light + heavy))
    assert figures["PSP_raw@1"] == pytest.approx(light / 2)


def test_raw_psp_may_exceed_one_and_its_best_may_have_fewer_than_k_labels() -> None:
    light, heavy = inverse_propensity(np.array([9, 1]), 10)
    figures = evaluate([[1, 0]], [[0, 1]], TRAIN, k=(1, 3)).figures
    assert figures["PSP_raw@1"] == pytest.approx(heavy)
    assert figures["PSP_raw@1"] > 1
    assert figures["PSP_raw@3"] == pytest.approx((light + heavy) / 3)
    assert figures["PSP@3"] == pytest.approx(1)


def test_psr_divides_each_document_by_its_labels() -> None:
    light, heavy = inverse_propensity(np.array([9, 1]), 10)
    # document 0 has both labels and one is found, document 1 has the light one and it is found
    figures = evaluate([[0], [0]], [[0, 1], [0]], TRAIN, k=(1,)).figures
    assert figures["PSR@1"] == pytest.approx((light / 2 + light) / (heavy / 2 + light))


def test_the_heaviest_true_labels_of_each_document() -> None:
    weights = LabelWeights.of(np.array([3.0, 1.0, 2.0, 3.0]))
    truth = TruthBatch.of(np.array([0, 4, 4, 5]), np.array([0, 1, 2, 3, 1]), 4)
    assert weights.best(truth, 3).tolist() == [[3, 3, 2], [0, 0, 0], [1, 0, 0]]


def test_psndcg_by_hand() -> None:
    light, heavy = inverse_propensity(np.array([9, 1]), 10)
    # the light label at rank 1 and the heavy one at rank 2; the best ranking has them the other way round
    figures = evaluate([[0, 1]], [[0, 1]], TRAIN, k=(2,)).figures
    discount = 1 / math.log2(3)
    assert figures["PSnDCG@2"] == pytest.approx((light + heavy * discount) / (heavy + light * discount))


def test_without_training_labels_there_is_no_psp() -> None:
    figures = evaluate([[0]], [[0]], k=(1,)).figures
    assert not [name for name in figures if name.startswith("PS") or "trained" in name]
    assert figures["P@1"] == 1
