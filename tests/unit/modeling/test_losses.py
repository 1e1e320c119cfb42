"""Losses in place against torch's own, value and gradient."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from xmcpipe.modeling.losses import IN_PLACE, prior_bias, scale


def reference(loss, scores, target):
    if loss == "bce":
        return F.binary_cross_entropy_with_logits(scores, target, reduction="sum")
    return ((1.0 - (2.0 * target - 1.0) * scores).clamp(min=0.0) ** 2).sum()


@given(st.integers(1, 6), st.integers(1, 12), st.integers(0, 500), st.sampled_from(["bce", "squared_hinge"]))
def test_value_and_gradient(num_rows, num_labels, seed, loss):
    torch.manual_seed(seed)
    scores = (3 * torch.randn(num_rows, num_labels)).requires_grad_()
    target = (torch.rand(num_rows, num_labels) < 0.3).float()
    expected = reference(loss, scores, target)
    (gradient,) = torch.autograd.grad(expected, scores)
    ours = scores.detach().clone()
    rows, columns = target.nonzero(as_tuple=True)
    value = IN_PLACE[loss](ours, rows, columns)
    torch.testing.assert_close(value, expected.detach(), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(ours, gradient, rtol=1e-5, atol=1e-6)


def test_bce_of_large_scores_is_finite():
    scores = torch.tensor([[200.0, -200.0]])
    value = IN_PLACE["bce"](scores, torch.tensor([0]), torch.tensor([1]))
    assert float(value) == pytest.approx(400.0)


def test_reductions():
    assert scale("squared_hinge", "mean", 8, 50) == 1 / 400
    assert scale("bce", "mean", 8, 50) == 1 / 8
    assert scale("bce", "sum", 8, 50) == 1.0


@pytest.mark.parametrize("loss", ["bce", "squared_hinge"])
def test_prior_bias_is_the_best_constant_score(loss):
    counts, documents = torch.tensor([3.0, 50.0, 0.0]), 100
    bias = prior_bias(loss, counts, documents)
    assert torch.isfinite(bias).all()
    for label, count in ((0, 3), (1, 50)):
        target = (torch.arange(documents) < count).float().unsqueeze(1)
        score = bias[label].expand(documents, 1).clone().requires_grad_()
        (gradient,) = torch.autograd.grad(reference(loss, score, target), score)
        assert abs(float(gradient.sum())) < 1e-4
