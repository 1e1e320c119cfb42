"""Layers of 8 bits on the CUDA side of the ops, on the host: which kernels run, and what they give."""

import pytest
import torch
from torch import Tensor

from tests.kernels import test_host_ops
from tests.kernels.group import test_group_host_ops
from tests.kernels.host.gpu import HostGpu
from tests.kernels.test_host_ops import Outcome, launched, make_positives, make_update
from xmcpipe.ops import reference, step_torch
from xmcpipe.ops.cuda import rewire, rows, step
from xmcpipe.ops.cuda.groups import ffi, geometry
from xmcpipe.ops.cuda.groups import step as group_step
from xmcpipe.ops.cuda.groups import step_chunks as group_chunks
from xmcpipe.ops.layer import Rewiring, SparseLayer
from xmcpipe.ops.rewire import ffi_rewire_, magnitude_bits
from xmcpipe.ops.rounding import FLOAT8, decoded, encoded
from xmcpipe.ops.step import Step

Made = tuple[Tensor, SparseLayer]


def in_8_bits(made: Made) -> Made:
    features_BD, layer = made
    return features_BD, layer._replace(weight=encoded(layer.weight, FLOAT8))


def steps(made: Made, batch: int, *ways: Step) -> list[Outcome]:
    """A step with momentum by each of the ways, from the same layer."""
    features_BD, before = made
    before = before._replace(momentum=torch.randn(before.weight.shape).to(torch.bfloat16))
    outcomes = []
    for way in ways:
        layer = test_group_host_ops.copy_of(before)
        loss_sum, grad = way(features_BD, layer, make_positives(batch), "bce", make_update(0.9), None)
        outcomes.append(Outcome(loss_sum, grad, layer))
    return outcomes


def close(ours: Outcome, expected: Outcome) -> None:
    """Up to gradients of scores rounded to 16 bits: most weights are rounded to the same number."""
    torch.testing.assert_close(ours.loss_sum, expected.loss_sum, rtol=1e-5, atol=0.0)
    difference = ours.grad_features - expected.grad_features
    assert float(difference.norm() / expected.grad_features.norm()) < 5e-3
    same = decoded(ours.layer.weight) == decoded(expected.layer.weight)
    assert float(same.float().mean()) > 0.9
    # The others are neighbours, of what gradients rounded to 2^-8 give.
    weights = (decoded(each.layer.weight) for each in (ours, expected))
    torch.testing.assert_close(*weights, rtol=0.13, atol=5e-4)


@pytest.mark.parametrize(
    ("batch", "kernels"),
    [(24, {"ffi_step", "ffi_step_sum"}), (test_host_ops.BATCH, test_host_ops.CHUNKS)],
)
def test_a_step(host_gpu: HostGpu, batch: int, kernels: set[str]) -> None:
    """In one pass for up to 64 rows, else by chunks."""
    ours, expected = steps(
        in_8_bits(test_host_ops.make(torch.bfloat16, batch)), batch, step.step_, step_torch.step_
    )
    assert launched(host_gpu) == kernels
    close(ours, expected)


def test_a_step_of_groups(host_gpu: HostGpu) -> None:
    made = in_8_bits(test_group_host_ops.make(torch.bfloat16, 24))
    one_pass, chunks, expected = steps(made, 24, group_step.step_, group_chunks.step_, step_torch.step_)
    assert launched(host_gpu) == test_group_host_ops.PASS_KERNELS | test_group_host_ops.CHUNK_KERNELS
    close(one_pass, expected)
    close(chunks, expected)
    codes = [each.layer.weight.view(torch.uint8) for each in (one_pass, chunks)]
    assert torch.equal(*codes)


def test_the_gradient_of_the_features_from_outside(host_gpu: HostGpu) -> None:
    """Two parts of bfloat16."""
    features_BD, layer = in_8_bits(test_group_host_ops.make(torch.bfloat16))
    grad_BL = torch.randn(len(features_BD), layer.num_labels, generator=torch.Generator().manual_seed(9))
    exact = features_BD.double(), decoded(layer.weight).double(), layer.index
    expected, _ = reference.ffi_backward(grad_BL.double(), *exact, layer.group)
    out_BD = torch.full(features_BD.shape, torch.nan)
    ffi.grad_features(grad_BL, layer, out_BD)
    assert float((out_BD - expected).norm() / expected.norm()) < 1e-4


def test_rewiring_without_momentum(host_gpu: HostGpu) -> None:
    _, layer = in_8_bits(test_host_ops.make(torch.bfloat16))
    strength = magnitude_bits(decoded(layer.weight))
    bits = int(strength.flatten().kthvalue(strength.numel() // 4).values)
    settings = Rewiring(bits, 7, seed=5, number=2, first_label=2**33, num_features=test_host_ops.FEATURES)
    ours, expected = (SparseLayer(layer.weight.clone(), layer.index.clone()) for _ in range(2))
    replaced = rewire.rewire_(ours, [], settings)
    assert int(replaced) == int(ffi_rewire_(expected.weight, expected.index, [], *settings)) > 0
    assert torch.equal(ours.weight.view(torch.uint8), expected.weight.view(torch.uint8))
    assert torch.equal(ours.index, expected.index)


def test_what_the_kernels_support(host_gpu: HostGpu) -> None:
    features_BD, layer = in_8_bits(test_group_host_ops.make(torch.bfloat16))
    index, weight, size = layer.index, layer.weight, layer.group
    momentum = torch.zeros(weight.shape, dtype=torch.bfloat16)
    assert geometry.supports(index, size, (features_BD, weight, momentum))
    assert geometry.supports(index, size, (weight,), torch.zeros(len(features_BD), len(weight)))
    # Tensor cores would have to multiply bfloat16 by another format.
    for dtype in (torch.float16, torch.float32):
        assert not geometry.supports(index, size, (features_BD.to(dtype), weight))
    # 24 connections of 8 bits don't begin at multiples of 16 bytes: the kernels of groups want 16, 32, ...
    assert not geometry.supports(index[:, :24].contiguous(), size, (features_BD, weight[:, :24].contiguous()))
    features_BD, layer = in_8_bits(test_host_ops.make(torch.bfloat16))
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        assert rows.supports(layer.index, features_BD.to(dtype), layer.weight)
    for fan_in, usable in ((8, True), (12, False)):
        parts = (part[:, :fan_in].contiguous() for part in (layer.index, layer.weight))
        index, weight = parts
        assert rows.supports(index, features_BD, weight) is usable
