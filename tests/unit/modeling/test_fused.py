"""The chunked loss: equal to the unchunked one and to plain autograd, for every head, chunk and loss."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.unit.modeling.test_losses import reference
from tests.unit.ops.loss_cases import added_loss
from xmcpipe.modeling import heads
from xmcpipe.modeling.fused import chunked_loss
from xmcpipe.modeling.heads import Head, HeadShape
from xmcpipe.modeling.heads.ffi import FFIHead
from xmcpipe.ops.layer import Positives
from xmcpipe.ops.losses.loss_table import LOSSES
from xmcpipe.ops.reference import dense_weight

B, D, L, K = 6, 20, 37, 5


def make(kind: str, device: str = "cpu", bias: bool = True) -> tuple[Head, Tensor, Tensor]:
    """A head, features [B, D] and targets [B, L]."""
    head = heads.build(HeadShape(kind, D, L, K, bias, seed=3))
    head.reset_parameters()
    torch.manual_seed(0)
    if head.bias is not None:
        head.bias.data.normal_()
    features = torch.randn(B, D)
    target = (torch.rand(B, L) < 0.15).float()
    return head.to(device), features.to(device), target.to(device)


def dense_scores(head: Head, features: Tensor) -> Tensor:
    """The head's scores of all labels at once, with autograd."""
    projected = head.project(features)
    weight = dense_weight(head.weight, head.index, D) if head.is_sparse else head.weight
    return projected @ weight.T + (0.0 if head.bias is None else head.bias)


def gradients(value: Tensor, head: Head, features: Tensor) -> tuple[Tensor, ...]:
    """The gradients of the features and of each parameter."""
    return torch.autograd.grad(value, [features, *head.parameters()])


@pytest.mark.parametrize("kind", ["ffi", "dense", "bottleneck"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("chunk", [1, 7, 36, 37, 1000])
def test_equals_plain_autograd(kind: str, loss: str, chunk: int, device: str) -> None:
    head, features, target = make(kind, device)
    features.requires_grad_()
    positives = Positives.of(*target.nonzero(as_tuple=True))
    expected = 0.25 * reference(loss, dense_scores(head, features), target)
    value = chunked_loss(head, features, positives, loss, 0.25, chunk)
    torch.testing.assert_close(value, expected)
    by_autograd = gradients(3.0 * expected, head, features)
    for gradient, right in zip(gradients(3.0 * value, head, features), by_autograd, strict=True):
        torch.testing.assert_close(gradient, right, rtol=1e-4, atol=1e-5)


def test_an_added_loss_trains_as_by_autograd(device: str) -> None:
    """Its entry in the table of losses is all that the chunked loss depends on."""
    head, features, target = make("ffi", device)
    features.requires_grad_()
    positives = Positives.of(*target.nonzero(as_tuple=True))
    expected = (dense_scores(head, features) - target).square().sum()
    with added_loss() as loss:
        value = chunked_loss(head, features, positives, loss, 1.0, 7)
    torch.testing.assert_close(value, expected)
    by_autograd = gradients(expected, head, features)
    for gradient, right in zip(gradients(value, head, features), by_autograd, strict=True):
        torch.testing.assert_close(gradient, right, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("num_labels", [7_273, 670_091])
def test_half_precision_survives_the_loss_scale(num_labels: int, device: str) -> None:
    """1 / (B x L) and the loss scale of 65536 are both out of float16's range: only their product is cast."""
    head, features, target = make("ffi", device)
    features = 0.1 * features
    positives = Positives.of(*target.nonzero(as_tuple=True))
    gradients_by_dtype = {}
    for dtype in (torch.float32, torch.float16):
        cast = features.to(dtype).requires_grad_()
        value = 65536.0 * chunked_loss(head, cast, positives, "squared_hinge", 1.0 / (64 * num_labels), 10)
        gradients_by_dtype[dtype] = torch.autograd.grad(value, [cast, *head.parameters()])
    for half, full in zip(gradients_by_dtype[torch.float16], gradients_by_dtype[torch.float32], strict=True):
        assert torch.isfinite(half).all()
        assert ((half == 0) == (full == 0)).all()
        torch.testing.assert_close(half.float(), full, rtol=2e-2, atol=2e-2 * float(full.abs().max()))


def test_no_tensor_is_larger_than_a_chunk_of_scores() -> None:
    """The results of all torch operators of one call: none holds B x L numbers."""
    from torch.utils._python_dispatch import TorchDispatchMode

    largest: list[int] = []

    class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(
            self,
            function: Any,
            types: Sequence[type],
            args: Sequence[Any] = (),
            kwargs: Mapping[str, Any] | None = None,
        ) -> Any:
            out = function(*args, **(kwargs or {}))
            for tensor in out if isinstance(out, (list, tuple)) else [out]:
                if isinstance(tensor, torch.Tensor):
                    largest.append(tensor.numel())
            return out

    rows, labels, chunk = 64, 5000, 100
    head = heads.build(HeadShape("ffi", 16, labels, 4, False))
    head.reset_parameters()
    features = torch.randn(rows, 16, requires_grad=True)
    positives = Positives.of(torch.arange(rows), torch.arange(rows) * 50)
    with Watch():  # type: ignore[no-untyped-call]
        torch.autograd.backward(chunked_loss(head, features, positives, "bce", 1.0, chunk))
    assert max(largest) <= max(labels * 4, rows * chunk)
    assert max(largest) < rows * labels


@pytest.mark.parametrize("kind", ["ffi", "dense"])
def test_fixed_features_have_no_gradient_and_cost_none(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a frozen encoder; the weights' gradient is the same."""
    head, features, target = make(kind, bias=True)
    positives = Positives.of(*target.nonzero(as_tuple=True))
    found = []
    for needed in (True, False):
        head.zero_grad()
        if not needed:
            monkeypatch.setattr(head, "grad_projected", None)
        read = features.detach().requires_grad_(needed)
        torch.autograd.backward(chunked_loss(head, read, positives, "bce", 1.0, 10))
        assert head.weight.grad is not None
        assert (read.grad is not None) == needed
        found.append(head.weight.grad.clone())
    assert torch.equal(*found)


def test_a_head_of_a_range_of_labels_is_that_part_of_the_whole() -> None:
    """Two heads of half the labels give the loss and gradient of one; several processes rely on it."""
    whole, features, target = make("ffi", bias=False)
    assert isinstance(whole, FFIHead)
    positives = Positives.of(*target.nonzero(as_tuple=True))
    features.requires_grad_()
    expected = chunked_loss(whole, features, positives, "bce", 1.0, 10)
    parts = []
    for first, count in ((0, 20), (20, 17)):
        part = heads.build(HeadShape("ffi", D, count, K, False, seed=3, first_label=first, total_labels=L))
        assert isinstance(part, FFIHead)
        part.reset_parameters()
        assert torch.equal(part.index.int(), whole.index[first : first + count].int())
        assert torch.equal(part.weight, whole.weight[first : first + count])
        parts.append(chunked_loss(part, features, positives, "bce", 1.0, 10))
    total = parts[0] + parts[1]
    torch.testing.assert_close(total, expected)
    (gradient,), (expected_gradient,) = (torch.autograd.grad(value, features) for value in (total, expected))
    torch.testing.assert_close(gradient, expected_gradient)
