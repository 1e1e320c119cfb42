"""The chunked loss: equal to the unchunked one and to plain autograd, for every head, chunk and loss."""

import pytest
import torch

from tests.unit.modeling.test_losses import reference
from xmcpipe.modeling import heads
from xmcpipe.modeling.fused import Positives, chunked_loss
from xmcpipe.modeling.heads import HeadShape
from xmcpipe.ops.reference import dense_weight

B, D, L, K = 6, 20, 37, 5


def make(kind, device="cpu", bias=True):
    head = heads.build(HeadShape(kind, D, L, K, bias, seed=3))
    head.reset_parameters()
    torch.manual_seed(0)
    if bias:
        head.bias.data.normal_()
    features = torch.randn(B, D)
    target = (torch.rand(B, L) < 0.15).float()
    return head.to(device), features.to(device), target.to(device)


def dense_scores(head, features):
    inner = head.project(features)
    weight = dense_weight(head.weight, head.index, D) if head.is_sparse else head.weight
    return inner @ weight.T + (0.0 if head.bias is None else head.bias)


def gradients(value, head, features):
    return torch.autograd.grad(value, [features, *head.parameters()])


@pytest.mark.parametrize("kind", ["ffi", "dense", "bottleneck"])
@pytest.mark.parametrize("loss", ["bce", "squared_hinge"])
@pytest.mark.parametrize("chunk", [1, 7, 36, 37, 1000])
def test_equals_plain_autograd(kind, loss, chunk, device):
    head, features, target = make(kind, device)
    features.requires_grad_()
    positives = Positives.of(*target.nonzero(as_tuple=True))
    expected = 0.25 * reference(loss, dense_scores(head, features), target)
    ours = chunked_loss(head, features, positives, loss, 0.25, chunk)
    torch.testing.assert_close(ours, expected)
    wanted = gradients(3.0 * expected, head, features)
    for one, other in zip(gradients(3.0 * ours, head, features), wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("num_labels", [7_273, 670_091])
def test_half_precision_survives_the_loss_scale(num_labels, device):
    """1 / (B x L) and the loss scale of 65536 are both beyond float16: neither may meet it alone."""
    head, features, target = make("ffi", device)
    features = 0.1 * features
    positives = Positives.of(*target.nonzero(as_tuple=True))
    found = {}
    for dtype in (torch.float32, torch.float16):
        inner = features.to(dtype).requires_grad_()
        value = 65536.0 * chunked_loss(head, inner, positives, "squared_hinge", 1.0 / (64 * num_labels), 10)
        found[dtype] = torch.autograd.grad(value, [inner, *head.parameters()])
    for half, full in zip(found[torch.float16], found[torch.float32], strict=True):
        assert torch.isfinite(half).all()
        assert ((half == 0) == (full == 0)).all()
        torch.testing.assert_close(half.float(), full, rtol=2e-2, atol=2e-2 * float(full.abs().max()))


def test_no_tensor_is_larger_than_a_chunk_of_scores():
    """The allocations of one call, by torch's own record of operators: none holds B x L numbers."""
    from torch.utils._python_dispatch import TorchDispatchMode

    largest = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
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
    with Watch():
        chunked_loss(head, features, positives, "bce", 1.0, chunk).backward()
    assert max(largest) <= max(labels * 4, rows * chunk)
    assert max(largest) < rows * labels


def test_a_head_of_a_range_of_labels_is_that_part_of_the_whole():
    """Two heads of half the labels give the loss and gradient of one: what several processes rely on."""
    whole, features, target = make("ffi", bias=False)
    positives = Positives.of(*target.nonzero(as_tuple=True))
    features.requires_grad_()
    expected = chunked_loss(whole, features, positives, "bce", 1.0, 10)
    parts = []
    for first, count in ((0, 20), (20, 17)):
        part = heads.build(HeadShape("ffi", D, count, K, False, seed=3, first_label=first))
        part.reset_parameters()
        assert torch.equal(part.index.int(), whole.index[first : first + count].int())
        assert torch.equal(part.weight, whole.weight[first : first + count])
        parts.append(chunked_loss(part, features, positives, "bce", 1.0, 10))
    torch.testing.assert_close(sum(parts), expected)
    ours, reference_grad = (torch.autograd.grad(value, features)[0] for value in (sum(parts), expected))
    torch.testing.assert_close(ours, reference_grad)
