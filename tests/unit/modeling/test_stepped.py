"""The fused step: in float32 it is the chunked loss followed by SGD; it allocates no more than a chunk."""

import pytest
import torch
from torch import Tensor

from xmcpipe.modeling import heads
from xmcpipe.modeling.fused import chunked_loss
from xmcpipe.modeling.heads import HeadShape
from xmcpipe.modeling.heads.ffi import FFIHead
from xmcpipe.modeling.stepped import HeadSGD, stepped_loss
from xmcpipe.ops.layer import Positives
from xmcpipe.ops.losses.loss_table import LOSSES

B, D, L, K = 6, 20, 37, 8
FACTOR, LOSS_WEIGHT, RATE, DECAY = 0.25, 0.6, 0.3, 0.01


def make(
    device: str = "cpu", dtype: str = "float32", bias: bool = True, first: int = 0, count: int = L
) -> FFIHead:
    """The head of `count` labels from `first` on, with its parameters drawn."""
    shape = HeadShape("ffi", D, count, K, bias, seed=3, first_label=first, total_labels=L, dtype=dtype)
    head = heads.build(shape, device)
    head.reset_parameters()
    assert isinstance(head, FFIHead)
    return head


def batch(device: str) -> tuple[Tensor, Positives]:
    """Features and positives."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(B, D, generator=generator).to(device)
    target = torch.rand(B, L, generator=generator).to(device) < 0.15
    return features, Positives.of(*target.nonzero(as_tuple=True))


def step(
    head: FFIHead,
    sgd: HeadSGD,
    features: Tensor,
    positives: Positives,
    loss: str,
    chunk: int,
    number: int = 0,
) -> tuple[Tensor, Tensor]:
    """The loss, and the gradient of the features of LOSS_WEIGHT times it."""
    sgd.scale.fill_(LOSS_WEIGHT * FACTOR)
    sgd.rate.fill_(RATE)
    sgd.step.fill_(number)
    features = features.clone().requires_grad_()
    value = stepped_loss(head, features, positives, loss, FACTOR, sgd, chunk)
    torch.autograd.backward(LOSS_WEIGHT * value)
    assert features.grad is not None
    return value.detach(), features.grad


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("chunk", [1, 7, 37, 1000])
def test_in_float32_it_is_the_chunked_loss_and_sgd(
    loss: str, momentum: float, chunk: int, device: str
) -> None:
    features, positives = batch(device)
    plain, fused = make(device), make(device).requires_grad_(False)
    assert plain.bias is not None
    assert fused.bias is not None
    sgd = HeadSGD.of(fused, momentum, DECAY)
    groups = [{"params": [plain.weight], "weight_decay": DECAY}]
    optimizers = [torch.optim.SGD(groups, RATE, momentum), torch.optim.SGD([plain.bias], RATE)]
    for number in range(4):
        leaf = features.clone().requires_grad_()
        expected = chunked_loss(plain, leaf, positives, loss, FACTOR, 10)
        torch.autograd.backward(LOSS_WEIGHT * expected)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        value, gradient = step(fused, sgd, features, positives, loss, chunk, number)
        torch.testing.assert_close(value, expected.detach(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(gradient, leaf.grad, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(fused.weight, plain.weight.detach(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(fused.bias, plain.bias.detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("chunk", [5, 37])
def test_in_bfloat16_loss_and_gradient_are_those_of_the_rounded_weights(chunk: int, device: str) -> None:
    features, positives = batch(device)
    half, full = make(device, "bfloat16").requires_grad_(False), make(device)
    full.weight.data.copy_(half.weight)
    leaf = features.clone().requires_grad_()
    expected = chunked_loss(full, leaf, positives, "bce", FACTOR, 10)
    torch.autograd.backward(LOSS_WEIGHT * expected)
    value, gradient = step(half, HeadSGD.of(half, 0.0, 0.0), features, positives, "bce", chunk)
    torch.testing.assert_close(value, expected.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradient, leaf.grad, rtol=1e-4, atol=1e-5)
    assert full.weight.grad is not None
    moved = full.weight.detach() - RATE * full.weight.grad
    assert half.weight.dtype == torch.bfloat16
    # One of the two neighbours of the float32 result: less than a place (2^-7 of the value) off.
    assert ((half.weight.float() - moved).abs() <= 2.0**-7 * moved.abs() + 1e-6).all()


def test_heads_of_two_ranges_step_as_the_whole(device: str) -> None:
    features, positives = batch(device)
    whole = make(device, "bfloat16", bias=False).requires_grad_(False)
    parts = [make(device, "bfloat16", False, *part).requires_grad_(False) for part in ((0, 20), (20, 17))]
    value, gradient = step(whole, HeadSGD.of(whole, 0.0, DECAY), features, positives, "bce", 10)
    results = [step(part, HeadSGD.of(part, 0.0, DECAY), features, positives, "bce", 10) for part in parts]
    (first_value, first_gradient), (second_value, second_gradient) = results
    torch.testing.assert_close(first_value + second_value, value)
    torch.testing.assert_close(first_gradient + second_gradient, gradient)
    weight = torch.cat([part.weight for part in parts]).float()
    # The same random numbers; a sum in another order may still move one over a boundary.
    assert (weight == whole.weight.float()).float().mean() > 0.98


def test_nothing_larger_than_a_chunk_is_allocated() -> None:
    """The profiler's record of the allocator shows neither [B, L] scores nor an [L, K] gradient."""
    from torch.profiler import ProfilerActivity, profile

    rows, labels, fan_in, chunk = 64, 40_000, 8, 1000
    head = heads.build(HeadShape("ffi", 16, labels, fan_in, False, dtype="bfloat16"))
    assert isinstance(head, FFIHead)
    head.reset_parameters()
    head.requires_grad_(False)
    features = torch.randn(rows, 16, requires_grad=True)
    positives = Positives.of(torch.arange(rows), torch.arange(rows) * 50)
    sgd = HeadSGD.of(head, 0.0, 0.0)
    stepped_loss(head, features, positives, "bce", 1.0, sgd, chunk)  # first-time allocations don't count
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as record:
        torch.autograd.backward(stepped_loss(head, features, positives, "bce", 1.0, sgd, chunk))
    sizes = [event.self_cpu_memory_usage for event in record.events()]
    assert max(sizes) < 4 * rows * labels / 8
    assert max(sizes) < 4 * labels * fan_in
    assert max(sizes) >= 4 * rows  # the record is not empty


@pytest.mark.parametrize("in_place", [True, False])
def test_no_value_is_read_from_the_device(in_place: bool) -> None:
    """Tensors without values do: a read of one would wait for a GPU, and could not be in a CUDA graph."""
    head = heads.build(HeadShape("ffi", 16, 40, 8, True), "meta")
    features = torch.empty(4, 16, device="meta", requires_grad=True)
    positives = Positives(*(torch.empty(9, dtype=torch.int64, device="meta") for _ in range(2)))
    if in_place:
        head.requires_grad_(False)
        value = stepped_loss(head, features, positives, "bce", FACTOR, HeadSGD.of(head, 0.9, DECAY), 7)
    else:
        value = chunked_loss(head, features, positives, "bce", FACTOR, 40)
    torch.autograd.backward(value)
    assert features.grad is not None
    assert features.grad.is_meta
