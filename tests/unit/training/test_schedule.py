"""Schedules at their ends and in between."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmcpipe.training.schedule import auxiliary_weight, prune_threshold, rate_factor


def test_rate_warms_up_then_falls_by_a_cosine() -> None:
    factors = [rate_factor(step, 10, 110) for step in range(110)]
    assert factors[:3] == pytest.approx([1 / 11, 2 / 11, 3 / 11])
    assert factors[10] == 1.0
    assert factors[60] == pytest.approx(0.5)
    assert all(one >= other for one, other in pairwise(factors[10:]))
    assert factors[-1] < 0.001


@given(st.floats(0, 20), st.floats(0.01, 0.99), st.floats(0.1, 20))
def test_auxiliary_weight_is_within_bounds_and_gone_after_the_cutoff(
    epoch: float, weight: float, cutoff: float
) -> None:
    value = auxiliary_weight(epoch, weight, cutoff)
    assert 0.0 <= value <= weight
    assert (value == 0.0) if epoch >= cutoff else True


def test_auxiliary_weight_of_the_paper() -> None:
    assert auxiliary_weight(0, 0.4, 15) == 0.4
    assert auxiliary_weight(7.5, 0.4, 15) == pytest.approx(0.2)
    assert auxiliary_weight(15, 0.4, 15) == 0.0


def test_prune_threshold_falls_to_its_end() -> None:
    assert prune_threshold(0, 100, 0.05, 1e-4) == pytest.approx(0.05)
    assert prune_threshold(50, 100, 0.05, 1e-4) == pytest.approx((0.05 + 1e-4) / 2)
    assert prune_threshold(100, 100, 0.05, 1e-4) == pytest.approx(1e-4)
