"""The fit of one row: right values from other programs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from xmcpipe.growing.newton import Objective, minimum
from xmcpipe.ops.losses.loss import loss_named


def problem(seed: int, documents: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs, and the rows of the documents that have the label and of those that don't."""
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(documents, width)).astype(np.float32)
    positives = np.sort(random.choice(documents, max(1, documents // 10), replace=False))
    inputs[positives, : width // 2] += 1.0
    return inputs, positives, np.setdiff1d(np.arange(documents), positives)


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 999), documents=st.integers(20, 300), width=st.integers(1, 12), m=st.floats(0.2, 9.0)
)
def test_the_row_is_that_of_logistic_regression(seed: int, documents: int, width: int, m: float) -> None:
    inputs, positives, negatives = problem(seed, documents, width)
    penalty = 2.0
    objective = Objective(
        loss_named("bce").in_place, inputs, positives, negatives, (m, 1.5), np.full(width, penalty), True
    )
    found = minimum(objective, np.zeros(width + 1))
    truth = np.isin(np.arange(documents), positives)
    other = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=10_000)
    other.fit(inputs.astype(np.float64), truth, sample_weight=np.where(truth, m, 1.5))
    np.testing.assert_allclose(found[:-1], other.coef_[0], atol=5e-3)
    assert found[-1] == pytest.approx(other.intercept_[0], abs=5e-3)


@pytest.mark.parametrize("has_bias", [True, False])
def test_the_row_of_the_squared_hinge(has_bias: bool) -> None:
    inputs, positives, negatives = problem(3, 200, 8)
    penalty = np.linspace(0.5, 3.0, 8)
    place = loss_named("squared_hinge").in_place
    objective = Objective(place, inputs, positives, negatives, (4.0, 1.0), penalty, has_bias)
    found = minimum(objective, np.zeros(9))

    def plain(parameters: np.ndarray) -> float:
        scores = inputs.astype(np.float64) @ parameters[:8] + has_bias * parameters[8]
        of_positives = 4.0 * np.square(np.maximum(1 - scores[positives], 0)).sum()
        of_negatives = np.square(np.maximum(1 + scores[negatives], 0)).sum()
        return float(of_positives + of_negatives + 0.5 * penalty @ np.square(parameters[:8]))

    best = minimize(plain, np.zeros(9), options={"gtol": 1e-8})
    assert plain(found) == pytest.approx(best.fun, rel=1e-5)
    np.testing.assert_allclose(found[:8], best.x[:8], atol=1e-3)
    assert has_bias or found[8] == 0.0
