"""Growth by gradient: the choice against a dense gradient, the same for any chunks and processes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from xmcpipe.modeling import heads
from xmcpipe.modeling.heads import Head, HeadShape
from xmcpipe.modeling.tensors import TensorFile, save
from xmcpipe.ops.layer import Positives, Rewiring, SparseLayer
from xmcpipe.ops.losses.loss import loss_named
from xmcpipe.ops.rewire import rewire_by_
from xmcpipe.training.growth import gradient as gradient_module
from xmcpipe.training.growth.choice import largest_unread
from xmcpipe.training.growth.gradient import AverageGradient, LabelledDocuments
from xmcpipe.training.growth.ring import Ring
from xmcpipe.training.growth.units import (
    GradientTable,
    exponent,
    places_,
    power_of_two,
)
from xmcpipe.training.rewiring import Cut, OneProcess, cut_fraction, cut_threshold

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
    features = torch.randn(rows, D, generator=generator) * 1.5  # scores stay within 16, where the table ends
    return features.half().float(), Positives.of(pairs[:, 0], pairs[:, 1])


def dense_gradient(head: Head, features: Tensor, pairs: Positives, loss: str) -> Tensor:
    """By autograd, of a dense layer with the same weights: float64 [L, D], a mean over documents."""
    index, weight = head.index.long(), head.weight.detach().double()
    dense = torch.zeros(head.num_labels, D, dtype=torch.float64).scatter_(1, index, weight)
    dense.requires_grad_()
    assert head.bias is not None
    scores = features.double() @ dense.T + head.bias.detach()
    assert scores.abs().max() < 16
    target = torch.zeros_like(scores)
    target[pairs.rows, pairs.labels] = 1.0
    if loss == "bce":
        value = torch.nn.functional.binary_cross_entropy_with_logits(scores, target, reduction="sum")
    else:
        value = (1 - (2 * target - 1) * scores).clamp(min=0).square().sum()
    (gradient,) = torch.autograd.grad(value, dense)
    return gradient / len(features)


def keep(ring: Ring, seed: int, rows: int = B) -> None:
    """Keep a batch of random documents."""
    features, positives = batch(seed, rows)
    ring.keep(100 * seed + np.arange(rows), features, positives)


def of_ring(ring: Ring, head: Head, loss: str) -> AverageGradient:
    kept, first = ring.contents(), head.shape.first_label
    documents = LabelledDocuments(
        kept.pairs.within(first, first + head.num_labels), lambda rows: kept.features[rows], len(kept.rows)
    )
    return AverageGradient(head, loss, kept, documents)


@given(st.integers(0, 200), st.sampled_from(["bce", "squared_hinge"]), st.integers(1, 6))
def test_it_is_the_dense_gradient_averaged_over_the_last_batches(seed: int, loss: str, count: int) -> None:
    head, ring = make(seed), Ring(4, B, D, torch.device("cpu"))
    batches = [batch(10 * seed + number, B - number % 3) for number in range(count)]
    for features, pairs in batches:
        ring.keep(np.arange(len(features)), features, pairs)
    found = of_ring(ring, head, loss).of(torch.arange(L))
    last = batches[-4:]
    total = sum(len(features) for features, _ in last)
    expected = torch.zeros_like(found)
    for features, pairs in last:
        expected += dense_gradient(head, features, pairs, loss) * len(features) / total
    # A score is rounded to 2^-11, and a feature to 2^-13 of the largest.
    torch.testing.assert_close(found, expected, rtol=0.0, atol=0.005 * float(expected.abs().max()))


def test_of_a_larger_ring_it_samples_rows_but_reads_all_positives(monkeypatch: pytest.MonkeyPatch) -> None:
    head, ring = make(3), Ring(30, B, D, torch.device("cpu"))
    for number in range(30):
        keep(ring, number)
    whole = of_ring(ring, head, "bce").of(torch.arange(L))
    monkeypatch.setattr(gradient_module, "SAMPLED_ROWS", 80)
    kept = ring.contents()
    features, pairs = kept.features, kept.pairs
    none = Positives(pairs.rows[:0], pairs.labels[:0])
    sampled = of_ring(ring, head, "bce").of(torch.arange(L))
    negatives = dense_gradient(head, features[::3].float(), none, "bce")
    changes = torch.zeros(L, D, dtype=torch.float64)
    for row, label in zip(*pairs, strict=True):
        changes[label] -= features[row].double() / len(features)  # sigmoid - 1, minus sigmoid
    torch.testing.assert_close(sampled, negatives + changes, rtol=0.0, atol=0.01)
    assert not torch.equal(sampled, whole)


@given(st.integers(0, 300), st.integers(1, 4))
def test_the_largest_unread_gradients_fill_the_pruned_places(seed: int, levels: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    gradient = (torch.randn(L, D, generator=generator) * levels).round().double()  # with equal ones
    index = torch.stack([torch.randperm(D, generator=generator)[:K] for _ in range(L)]).to(torch.uint16)
    pruned = torch.rand(L, K, generator=generator) < 0.5
    found = largest_unread(gradient, index, pruned).int().tolist()
    for label in range(L):
        kept = [int(index[label, place]) for place in range(K) if not pruned[label, place]]
        order = sorted(
            set(range(D)) - set(kept), key=lambda unread: (-abs(float(gradient[label, unread])), unread)
        )
        for place in range(K):
            expected = order.pop(0) if pruned[label, place] else int(index[label, place])
            assert found[label][place] == expected


CUTS: dict[str, Callable[[Head], Cut]] = {
    "row": lambda head: Cut(0, 0, 2),
    "layer": lambda head: cut_fraction(head.weight, 0.3, OneProcess()),
    "threshold": lambda head: cut_threshold(0.2),
}


def rewired(head: Head, ring: Ring, cut: Cut, rows: int, loss: str = "bce") -> Tensor:
    """The index after a rewiring, `rows` labels at a time."""
    average = of_ring(ring, head, loss)
    rewire_by_(
        SparseLayer(head.weight.data, head.index),
        [],
        Rewiring(cut.bits, cut.ties, 0, 1, head.shape.first_label, D, cut.row_count),
        lambda labels, index, pruned: largest_unread(average.of(labels), index, pruned),
        rows,
    )
    return head.index.int()


@pytest.mark.parametrize("mode", CUTS)
@pytest.mark.parametrize("loss", ["bce", "squared_hinge"])
def test_chunks_and_processes_give_the_same_topology(mode: str, loss: str) -> None:
    """The gradients have the same bits too: a sum of integers doesn't depend on the order."""
    ring = Ring(3, B, D, torch.device("cpu"))
    for number in range(3):
        keep(ring, number)
    for seed in range(5):
        cut = CUTS[mode](make(seed))
        expected = rewired(make(seed), ring, cut, L, loss)
        assert not torch.equal(expected, make(seed).index.int())
        for rows in (1, 2, 7):
            assert torch.equal(rewired(make(seed), ring, cut, rows, loss), expected)
        gradient = of_ring(ring, make(seed), loss).of(torch.arange(L))
        assert torch.equal(of_ring(ring, make(seed), loss).of(torch.tensor([2, 11]))[1], gradient[11])
        if mode != "layer":  # its ties are those of a process: `cut_fraction`
            halves = [make(seed, 0, 11), make(seed, 11, L - 11)]
            assert torch.equal(torch.cat([rewired(half, ring, cut, 4, loss) for half in halves]), expected)


def test_a_ring_is_restored_as_it_was(tmp_path: Path) -> None:
    one, other = (Ring(3, B, D, torch.device("cpu")) for _ in range(2))
    for number in range(4):
        keep(one, number, B - number)
    save(tmp_path / "ring.safetensors", {f"at.{name}": each for name, each in one.tensors().items()})
    other.restore(TensorFile(tmp_path / "ring.safetensors"), "at.", one.facts())
    for ring in (one, other):
        keep(ring, 9)
    assert one.facts() == other.facts()
    found, expected = other.contents(), one.contents()
    assert len(found.rows) == B + B - 3 + B - 2
    for tensor, copy in zip([*expected[:2], *expected.pairs], [*found[:2], *found.pairs], strict=True):
        assert torch.equal(tensor, copy)


@pytest.mark.parametrize("loss", ["bce", "squared_hinge"])
def test_the_table_has_the_gradients_of_the_loss(loss: str) -> None:
    table = GradientTable.of(loss_named(loss).in_place, torch.device("cpu"))
    scores = torch.tensor([-40.0, -3.25, 0.0, 1.5, 16.0])
    places = places_(scores.double())
    clamped = scores.clamp(-16, 16).unsqueeze(1)
    negatives, positives = clamped.clone(), clamped.clone()
    rows = torch.arange(len(scores))
    loss_named(loss).in_place(negatives, rows[:0], rows[:0])
    loss_named(loss).in_place(positives, rows, torch.zeros_like(rows))
    found = table.negatives_S[places] * table.negative_unit
    torch.testing.assert_close(found.float(), negatives.squeeze(1), rtol=0.0, atol=1e-5)
    changes = table.changes_S[places] * table.change_unit
    torch.testing.assert_close(changes.float(), (positives - negatives).squeeze(1), rtol=0.0, atol=5e-3)
    assert table.negatives_S.abs().max() <= 1 << 24
    assert table.changes_S.abs().max() <= 1 << 14


def test_exponents_of_any_float() -> None:
    values = torch.tensor([0.0, 1e-45, 0.5, 1.0, 1.5, 3e38])
    assert exponent(values).tolist() == [0, -148, 0, 1, 1, 128]
    assert power_of_two(torch.tensor([-200, -1, 0, 10])).tolist() == [2.0**-200, 0.5, 1.0, 1024.0]
