"""Growth by gradient: the choice against a dense gradient, for any chunks and processes, and exact resume."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from xmcpipe.modeling import heads
from xmcpipe.modeling.heads import Head, HeadShape
from xmcpipe.ops.layer import Positives
from xmcpipe.ops.losses.loss import loss_named
from xmcpipe.training.growth import gradient as gradient_module
from xmcpipe.training.growth.choice import largest_unread
from xmcpipe.training.growth.gradient import AverageGradient, LabelledDocuments
from xmcpipe.training.growth.ring import Ring

L, D, K, B = 23, 12, 5, 8


def make(seed: int, first: int = 0, count: int = L) -> Head:
    head = heads.build(HeadShape("ffi", D, count, K, True, seed=seed, first_label=first))
    head.reset_parameters()
    generator = torch.Generator().manual_seed(seed)
    bias = torch.randn(L, generator=generator)
    assert head.bias is not None
    head.bias.data.copy_(bias[first : first + count])
    return head


def batch(seed: int, rows: int = B) -> tuple[Tensor, Positives]:
    generator = torch.Generator().manual_seed(seed)
    pairs = (torch.rand(rows, L, generator=generator) < 0.1).nonzero()
    features = torch.randn(rows, D, generator=generator) * 3
    return features.half().float(), Positives.of(pairs[:, 0], pairs[:, 1])


def dense_gradient(head: Head, features: Tensor, pairs: Positives, loss: str) -> Tensor:
    """By autograd, of a dense layer with the same weights: float64 [L, D], a mean over documents."""
    index, weight = head.index.long(), head.weight.detach().double()
    dense = torch.zeros(head.num_labels, D, dtype=torch.float64).scatter_(1, index, weight)
    dense.requires_grad_()
    assert head.bias is not None
    scores = features.double() @ dense.T + head.bias.detach()
    target = torch.zeros_like(scores)
    target[pairs.rows, pairs.labels] = 1.0
    if loss == "bce":
        value = torch.nn.functional.binary_cross_entropy_with_logits(scores, target, reduction="sum")
    else:
        value = (1 - (2 * target - 1) * scores).clamp(min=0).square().sum()
    value.backward()
    assert dense.grad is not None
    return dense.grad / len(features)


def of_ring(ring: Ring, head: Head, loss: str) -> AverageGradient:
    features, pairs = ring.contents()
    first = head.shape.first_label
    documents = LabelledDocuments(
        pairs.within(first, first + head.num_labels), lambda rows: features[rows], len(features)
    )
    return AverageGradient(head, loss, features, documents)


@given(st.integers(0, 200), st.sampled_from(["bce", "squared_hinge"]), st.integers(1, 6))
def test_it_is_the_dense_gradient_averaged_over_the_last_batches(seed: int, loss: str, count: int) -> None:
    head, ring = make(seed), Ring(4, B, D, torch.device("cpu"))
    batches = [batch(10 * seed + number, B - number % 3) for number in range(count)]
    for features, pairs in batches:
        ring.keep(features, pairs)
    found = of_ring(ring, head, loss).of(torch.arange(L))
    last = batches[-4:]
    total = sum(len(features) for features, _ in last)
    expected = torch.zeros_like(found)
    for features, pairs in last:
        expected += dense_gradient(head, features, pairs, loss) * len(features) / total
    # A score is rounded to 2^-11, and a feature to 2^-13 of the largest.
    torch.testing.assert_close(found, expected, rtol=0.0, atol=0.005 * float(expected.abs().max()))
