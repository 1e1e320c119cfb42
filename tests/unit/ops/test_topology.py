"""First choice and regrowth: distinct, in range, uniform, and the same in any chunking."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from xmcpipe.ops.topology import initial_index, regrow

SHAPES = st.integers(1, 70).flatmap(lambda d: st.tuples(st.just(d), st.integers(1, d)))


def distinct_rows(index: Tensor) -> bool:
    ordered = index.to(torch.int64).sort(1).values
    return bool((ordered[:, 1:] > ordered[:, :-1]).all())


@given(SHAPES, st.integers(1, 30), st.integers(0, 2**63))
def test_first_choice_is_distinct_in_range_and_chunk_free(
    shape: tuple[int, int], num_labels: int, seed: int
) -> None:
    num_features, fan_in = shape
    labels = torch.arange(num_labels) + 1000
    index = initial_index(seed, labels, num_features, fan_in)
    assert index.dtype == torch.uint16
    assert distinct_rows(index)
    assert int(index.long().max()) < num_features
    parts = [initial_index(seed, part, num_features, fan_in) for part in torch.split(labels, 7)]
    assert torch.equal(torch.cat(parts).int(), index.int())


def test_features_are_chosen_uniformly() -> None:
    index = initial_index(1, torch.arange(20_000), 16, 4).long()
    frequency = index.flatten().bincount(minlength=16) / index.numel()
    assert (frequency - 1 / 16).abs().max() < 0.003


@given(SHAPES, st.integers(0, 2**32), st.data())
def test_regrowth_changes_pruned_places_only_and_stays_distinct(
    shape: tuple[int, int], seed: int, data: st.DataObject
) -> None:
    num_features, fan_in = shape
    labels = torch.arange(9)
    index = initial_index(seed, labels, num_features, fan_in)
    bits = data.draw(st.lists(st.booleans(), min_size=9 * fan_in, max_size=9 * fan_in))
    pruned = torch.tensor(bits).view(9, fan_in)
    grown = regrow(index, pruned, seed, 3, labels, num_features)
    assert distinct_rows(grown)
    assert torch.equal(grown.int()[~pruned], index.int()[~pruned])
    one_by_one = [
        regrow(index[row : row + 1], pruned[row : row + 1], seed, 3, labels[row : row + 1], num_features)
        for row in range(9)
    ]
    assert torch.equal(torch.cat(one_by_one).int(), grown.int())


def test_regrowth_is_uniform_over_the_other_features() -> None:
    labels = torch.arange(30_000)
    index = torch.tensor([[0, 1, 2, 3]]).expand(30_000, 4).to(torch.int32).to(torch.uint16)
    pruned = torch.tensor([[False, True, False, True]]).expand(30_000, 4)
    grown = regrow(index, pruned, 5, 1, labels, 12).long()
    frequency = grown[:, [1, 3]].flatten().bincount(minlength=12) / 60_000
    assert frequency[0] == frequency[2] == 0  # these features are in the rows already
    assert (frequency[[1, 3, 4, 5, 6, 7, 8, 9, 10, 11]] - 0.1).abs().max() < 0.006
