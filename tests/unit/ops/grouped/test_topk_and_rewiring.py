"""The best labels, and the rewiring, of groups of labels."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.unit.ops.ffi_cases import IMPLEMENTATIONS, implementation, make
from xmcpipe.ops import rewire as rewire_module
from xmcpipe.ops.ffi import ffi_scores
from xmcpipe.ops.layer import SparseLayer
from xmcpipe.ops.rewire import ffi_rewire_, magnitude_bits, strengths
from xmcpipe.ops.topk import ffi_topk, topk


def ranked(scores_BL: Tensor, ids_L: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """By (-score, id), with Python's sort."""
    best = []
    for row in scores_BL.tolist():
        pairs = sorted(zip(ids_L.tolist(), row, strict=True), key=lambda pair: (-pair[1], pair[0]))
        best.append(pairs[:k])
    labels = torch.tensor([[label for label, _ in row] for row in best])
    return labels, torch.tensor([[score for _, score in row] for row in best])


@given(
    st.integers(1, 90),
    st.integers(1, 20),
    st.integers(1, 30),
    st.sampled_from(IMPLEMENTATIONS),
    st.integers(0, 99),
)
def test_best_labels_are_ordered_by_score_and_id(
    num_labels: int, group: int, chunk: int, name: str, seed: int
) -> None:
    features, weight, index, _ = make(6, 20, num_labels, 4, torch.float32, seed=seed)
    index = index[: -(-num_labels // group)]
    features, weight = features.round(), weight.round()  # many equal scores
    ids = torch.randperm(1000, generator=torch.Generator().manual_seed(seed))[:num_labels].int()
    k = min(5, num_labels)
    with implementation(name):
        scores = ffi_scores(features, weight, index, group) + 0.0
        labels, best = ffi_topk(features, weight, index, None, k, 0, chunk, group, ids)
        with torch.inference_mode():
            direct = topk(features, SparseLayer(weight, index, group=group), k, 0, chunk, ids)
    expected = ranked(scores, ids, k)
    assert torch.equal(labels, expected[0])
    assert torch.equal(best, expected[1])
    assert torch.equal(direct[0], labels)


def test_topk_of_groups_without_ids_counts_from_the_first_label() -> None:
    features, weight, index, _ = make(3, 20, 40, 4, torch.float32)
    ids = torch.arange(100, 140, dtype=torch.int32)
    with_ids = ffi_topk(features, weight, index[:5], None, 3, 0, 16, 8, ids)
    assert torch.equal(with_ids[0], ffi_topk(features, weight, index[:5], None, 3, 100, 16, 8)[0])
    torch.library.opcheck(ffi_topk, (features, weight, index[:5], None, 3, 0, 16, 8, ids))
    with pytest.raises(ValueError, match="label_ids int32"):
        ffi_topk(features, weight, index[:5], None, 3, 0, 16, 8, ids.long())


def test_the_strength_of_a_slot_is_the_mean_weight_of_its_labels() -> None:
    weight = torch.randn(22, 5)
    expected = [weight[begin : begin + 8].abs().mean(0) for begin in range(0, 22, 8)]
    torch.testing.assert_close(strengths(weight, 8), torch.stack(expected))
    assert torch.equal(strengths(weight, 1), weight.abs())


@given(st.integers(1, 60), st.integers(2, 9), st.integers(0, 99), st.booleans())
def test_weak_slots_are_replaced_for_all_labels_of_a_group(
    num_labels: int, group: int, seed: int, by_row: bool
) -> None:
    features, fan_in = 24, 6
    _, weight, index, _ = make(1, features, num_labels, fan_in, torch.float32, seed=seed)
    index = index[: -(-num_labels // group)]
    before, old_index, moments = weight.clone(), index.clone(), [torch.ones_like(weight) for _ in range(2)]
    strength = strengths(weight, group)
    cut = int(magnitude_bits(strength).flatten().sort().values[strength.numel() // 3])
    if by_row:
        pruned = torch.zeros_like(strength, dtype=torch.bool)
        pruned.scatter_(1, strength.argsort(dim=1, stable=True)[:, :2], True)
    else:
        pruned = magnitude_bits(strength) < cut
    replaced = ffi_rewire_(weight, index, moments, cut, 0, 7, 1, 0, features, 2 if by_row else 0, group)
    pruned_LK = pruned.repeat_interleave(group, 0)[:num_labels]
    assert int(replaced) == int(pruned_LK.sum())
    assert torch.equal(weight, before.masked_fill(pruned_LK, 0.0))
    assert all(torch.equal(each, (~pruned_LK).float()) for each in moments)
    assert torch.equal(index.int()[~pruned], old_index.int()[~pruned])
    assert all(len(set(row)) == fan_in for row in index.tolist())


def test_pieces_of_a_rewiring_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for values in (1 << 23, 1):
        monkeypatch.setattr(rewire_module, "PIECE_VALUES", values)
        _, weight, index, _ = make(1, 24, 50, 6, torch.float32)
        ffi_rewire_(weight, index := index[:13].clone(), [], 1 << 29, 3, 7, 2, 400, 24, 0, 4)
        results.append((weight, index.int()))
    assert all(torch.equal(*each) for each in zip(*results, strict=True))


def test_opcheck_of_a_rewiring() -> None:
    _, weight, index, _ = make(1, 24, 50, 6, torch.float32)
    torch.library.opcheck(ffi_rewire_, (weight, index[:13].clone(), [], 1 << 29, 3, 7, 2, 0, 24, 0, 4))
