"""The fused step: in float32 it is the chunked loss followed by SGD, and it holds no more than a chunk."""

import pytest
import torch

from xmcpipe.modeling import heads
from xmcpipe.modeling.fused import chunked_loss
from xmcpipe.ops.layer import Positives
from xmcpipe.modeling.heads import HeadShape
from xmcpipe.modeling.stepped import HeadSGD, stepped_loss

B, D, L, K = 6, 20, 37, 8
FACTOR, SHARE, RATE, DECAY = 0.25, 0.6, 0.3, 0.01


def make(device="cpu", dtype="float32", bias=True, first=0, count=L):
    head = heads.build(HeadShape("ffi", D, count, K, bias, seed=3, first_label=first, dtype=dtype), device)
    head.reset_parameters()
    return head


def batch(device):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(B, D, generator=generator).to(device)
    target = torch.rand(B, L, generator=generator).to(device) < 0.15
    return features, Positives.of(*target.nonzero(as_tuple=True))


def step(head, sgd, features, positives, loss, chunk, number=0):
    """The loss, and the gradient of the features of SHARE times it."""
    sgd.scale.fill_(SHARE * FACTOR), sgd.rate.fill_(RATE), sgd.step.fill_(number)
    features = features.clone().requires_grad_()
    value = stepped_loss(head, features, positives, loss, FACTOR, sgd, chunk)
    (SHARE * value).backward()
    return value.detach(), features.grad


@pytest.mark.parametrize("loss", ["bce", "squared_hinge"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("chunk", [1, 7, 37, 1000])
def test_in_float32_it_is_the_chunked_loss_and_sgd(loss, momentum, chunk, device):
    features, positives = batch(device)
    plain, fused = make(device), make(device).requires_grad_(False)
    sgd = HeadSGD.of(fused, momentum, DECAY)
    groups = [{"params": [plain.weight], "weight_decay": DECAY}]
    optimizers = [torch.optim.SGD(groups, RATE, momentum), torch.optim.SGD([plain.bias], RATE)]
    for number in range(4):
        inner = features.clone().requires_grad_()
        expected = chunked_loss(plain, inner, positives, loss, FACTOR, 10)
        (SHARE * expected).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        value, gradient = step(fused, sgd, features, positives, loss, chunk, number)
        torch.testing.assert_close(value, expected.detach(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(gradient, inner.grad, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(fused.weight, plain.weight.detach(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(fused.bias, plain.bias.detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("chunk", [5, 37])
def test_in_bfloat16_loss_and_gradient_are_those_of_the_rounded_weights(chunk, device):
    features, positives = batch(device)
    half, full = make(device, "bfloat16").requires_grad_(False), make(device)
    full.weight.data.copy_(half.weight)
    inner = features.clone().requires_grad_()
    expected = chunked_loss(full, inner, positives, "bce", FACTOR, 10)
    (SHARE * expected).backward()
    value, gradient = step(half, HeadSGD.of(half, 0.0, 0.0), features, positives, "bce", chunk)
    torch.testing.assert_close(value, expected.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradient, inner.grad, rtol=1e-4, atol=1e-5)
    moved = full.weight.detach() - RATE * full.weight.grad
    assert half.weight.dtype == torch.bfloat16
    # One of the two neighbours of where float32 would go: less than a place (2^-7 of the value) off.
    assert ((half.weight.float() - moved).abs() <= 2.0**-7 * moved.abs() + 1e-6).all()


def test_heads_of_two_ranges_step_as_the_whole(device):
    features, positives = batch(device)
    whole = make(device, "bfloat16", bias=False).requires_grad_(False)
    parts = [make(device, "bfloat16", False, *part).requires_grad_(False) for part in ((0, 20), (20, 17))]
    value, gradient = step(whole, HeadSGD.of(whole, 0.0, DECAY), features, positives, "bce", 10)
    found = [step(part, HeadSGD.of(part, 0.0, DECAY), features, positives, "bce", 10) for part in parts]
    torch.testing.assert_close(sum(one for one, _ in found), value)
    torch.testing.assert_close(sum(one for _, one in found), gradient)
    weight = torch.cat([part.weight for part in parts]).float()
    # The same random numbers; a sum in another order may still move one over a boundary.
    assert (weight == whole.weight.float()).float().mean() > 0.98


def test_nothing_larger_than_a_chunk_is_allocated():
    """By the profiler's record of the allocator: neither [B, L] scores nor an [L, K] gradient."""
    from torch.profiler import ProfilerActivity, profile

    rows, labels, fan_in, chunk = 64, 40_000, 8, 1000
    head = heads.build(HeadShape("ffi", 16, labels, fan_in, False, dtype="bfloat16"))
    head.reset_parameters()
    head.requires_grad_(False)
    features = torch.randn(rows, 16, requires_grad=True)
    positives = Positives.of(torch.arange(rows), torch.arange(rows) * 50)
    sgd = HeadSGD.of(head, 0.0, 0.0)
    stepped_loss(head, features, positives, "bce", 1.0, sgd, chunk)  # what is made once may be any size
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as record:
        stepped_loss(head, features, positives, "bce", 1.0, sgd, chunk).backward()
    sizes = [event.self_cpu_memory_usage for event in record.events()]
    assert max(sizes) < 4 * rows * labels / 8
    assert max(sizes) < 4 * labels * fan_in
    assert max(sizes) >= 4 * rows  # the record is not empty
