"""The float64 results against plain float64 maths and autograd, with tiles that divide no size evenly."""

from typing import TypeVar

import pytest
import torch
from torch import Tensor

from tests.unit.benchmark.layers import SMALL, problem
from xmcpipe.benchmark import reference
from xmcpipe.benchmark.problem import TOP, WEIGHT_DECAY, Problem
from xmcpipe.ops.reference import dense_weight


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "TILE_VALUES", 17 * SMALL.features)
    monkeypatch.setattr(reference, "SAMPLED_LABELS", 20)


T = TypeVar("T")


def computed(part: T | None) -> T:
    """A part of the expected results that this operation has."""
    assert part is not None
    return part


def plain(drawn: Problem) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features and weights that require gradients, the index as int64, and scores, in float64."""
    weight = drawn.weight.double().requires_grad_()
    features = drawn.features.double().requires_grad_()
    scores = features @ dense_weight(weight, drawn.index, SMALL.features).T
    return features, weight, drawn.index.to(torch.int64), scores


def test_the_sample_has_both_ends_and_is_not_all(device: str) -> None:
    labels = reference.sample_labels(problem(device=device), 1)
    assert labels[0] == 0
    assert labels[-1] == SMALL.labels - 1
    assert len(labels) == 22


def test_forward_and_backward(device: str) -> None:
    drawn = problem(device=device)
    labels = reference.sample_labels(drawn, 1)
    features, weight, _, scores = plain(drawn)
    forward = reference.expected(drawn, "forward", labels)
    torch.testing.assert_close(computed(forward.scores).value, scores[:, labels].detach())
    scores.backward(drawn.grad.double())  # type: ignore[no-untyped-call]
    backward = reference.expected(drawn, "backward", labels)
    torch.testing.assert_close(computed(backward.grad_features).value, features.grad)
    torch.testing.assert_close(computed(backward.grad_weight).value, computed(weight.grad)[labels])


def test_the_size_of_a_sum_is_the_root_of_the_squares_of_its_terms() -> None:
    drawn = problem()
    labels = torch.arange(SMALL.labels)
    terms = drawn.features.double()[:, drawn.index.to(torch.int64)] * drawn.weight.double()
    sizes = terms.square().sum(2).sqrt()
    torch.testing.assert_close(computed(reference.expected(drawn, "forward", labels).scores).size, sizes)
    exact = reference.exact_scores(drawn, labels.expand(SMALL.batch, -1))
    torch.testing.assert_close(exact.size, sizes)
    torch.testing.assert_close(exact.value, terms.sum(2))
    features, grad = drawn.features.double(), drawn.grad.double()
    products = torch.einsum("bl,bd->ldb", grad, features).gather(
        1, drawn.index.to(torch.int64).unsqueeze(2).expand(-1, -1, SMALL.batch)
    )
    found = computed(reference.expected(drawn, "backward", labels).grad_weight)
    torch.testing.assert_close(found.size, products.square().sum(2).sqrt())


def test_step_is_the_hinge_s_gradient_and_torch_s_sgd(device: str) -> None:
    drawn = problem(device=device)
    labels = reference.sample_labels(drawn, 1)
    features, weight, _, scores = plain(drawn)
    targets = torch.full_like(scores, -1.0)
    targets[drawn.positive_rows, drawn.positive_labels] = 1.0
    loss = (1.0 - targets * scores).clamp(min=0.0).square().sum()
    found = reference.expected(drawn, "step", labels)
    torch.testing.assert_close(computed(found.loss).value, loss.detach())
    torch.testing.assert_close(
        computed(found.grad_features).value, torch.autograd.grad(loss, features, retain_graph=True)[0]
    )
    (loss * drawn.scale).backward()  # type: ignore[no-untyped-call]
    torch.optim.SGD([weight], lr=drawn.rate, weight_decay=WEIGHT_DECAY).step()
    torch.testing.assert_close(found.weight, weight[labels].detach())


def test_topk(device: str) -> None:
    drawn = problem(device=device)
    scores = plain(drawn)[3].detach()
    found = reference.expected(drawn, "topk", reference.sample_labels(drawn, 1))
    torch.testing.assert_close(found.top, scores.topk(TOP, dim=1).values)
