"""Losses in place against torch's own, value and gradient."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.unit.ops.loss_cases import added_loss
from xmcpipe.modeling.losses import prior_bias, scale
from xmcpipe.ops.losses.loss import loss_named
from xmcpipe.ops.losses.loss_table import LOSSES


def reference(loss: str, scores: Tensor, target: Tensor) -> Tensor:
    """The sum of the losses by torch's own functions."""
    return {
        "bce": F.binary_cross_entropy_with_logits(scores, target, reduction="sum"),
        "squared_hinge": ((1.0 - (2.0 * target - 1.0) * scores).clamp(min=0.0) ** 2).sum(),
    }[loss]


@given(st.integers(1, 6), st.integers(1, 12), st.integers(0, 500), st.sampled_from(list(LOSSES)))
def test_value_and_gradient(num_rows: int, num_labels: int, seed: int, loss: str) -> None:
    torch.manual_seed(seed)
    scores = (3 * torch.randn(num_rows, num_labels)).requires_grad_()
    target = (torch.rand(num_rows, num_labels) < 0.3).float()
    expected = reference(loss, scores, target)
    (gradient,) = torch.autograd.grad(expected, scores)
    overwritten = scores.detach().clone()
    rows, columns = target.nonzero(as_tuple=True)
    value = loss_named(loss).in_place(overwritten, rows, columns)
    torch.testing.assert_close(value, expected.detach(), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(overwritten, gradient, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_sum_of_millions_of_losses_loses_none(loss: str) -> None:
    scores = torch.randn(64, 1 << 17, generator=torch.Generator().manual_seed(0))
    expected = reference(loss, scores.double(), torch.zeros(scores.shape, dtype=torch.float64))
    none = torch.tensor([], dtype=torch.int64)
    assert float(loss_named(loss).in_place(scores, none, none)) == pytest.approx(float(expected), rel=1e-5)


def test_bce_of_large_scores_is_finite() -> None:
    scores = torch.tensor([[200.0, -200.0]])
    value = loss_named("bce").in_place(scores, torch.tensor([0]), torch.tensor([1]))
    assert float(value) == pytest.approx(400.0)


def test_an_added_loss_is_scaled_by_its_own_rule() -> None:
    with added_loss() as loss:
        assert scale(loss, "sum", 8, 50) == 1 / 400
        assert float(prior_bias(loss, torch.tensor([3.0]), 10)) == pytest.approx(0.3)


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of 'squared_hinge', 'bce', got loss = 'hinge'"):
        loss_named("hinge")


def test_reductions() -> None:
    assert scale("squared_hinge", "mean", 8, 50) == 1 / 400
    assert scale("bce", "mean", 8, 50) == 1 / 8
    assert scale("bce", "sum", 8, 50) == 1.0


@pytest.mark.parametrize("loss", LOSSES)
def test_prior_bias_is_the_best_constant_score(loss: str) -> None:
    counts, documents = torch.tensor([3.0, 50.0, 0.0]), 100
    bias = prior_bias(loss, counts, documents)
    assert torch.isfinite(bias).all()
    for label, count in ((0, 3), (1, 50)):
        target = (torch.arange(documents) < count).float().unsqueeze(1)
        score = bias[label].expand(documents, 1).clone().requires_grad_()
        (gradient,) = torch.autograd.grad(reference(loss, score, target), score)
        assert abs(float(gradient.sum())) < 1e-4
