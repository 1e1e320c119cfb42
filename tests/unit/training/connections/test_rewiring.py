"""SET rewiring: which connections are pruned, and the same topology for any chunks and processes."""

import threading
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from xmcpipe.config import from_table
from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling import heads
from xmcpipe.modeling.heads import Head, HeadShape
from xmcpipe.ops import rewire as rewire_op
from xmcpipe.ops import topology
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.head_config import RewireConfig
from xmcpipe.training.rewiring import Cut, OneProcess, cut_fraction, cut_threshold, next_cut, rewire

L, D, K = 23, 12, 5


def make(seed: int = 0, tied: bool = False, first: int = 0, count: int = L) -> Head:
    head = heads.build(HeadShape("ffi", D, count, K, False, seed=seed, first_label=first))
    head.reset_parameters()
    if tied:
        head.weight.data.copy_((head.weight.data * 3).round() / 3)
    return head


def test_connections_that_no_rewiring_replaced_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    head = make(seed=3)
    assert head.first_connections() == 1.0
    first = head.index.clone().int()
    for rewiring in (1, 2):
        cut = cut_fraction(head.weight, 0.4, OneProcess())
        rewire(head, [], cut, 3, rewiring)
        head.weight.data += 0.01 * torch.randn(L, K, generator=torch.Generator().manual_seed(rewiring))
    unchanged = float((head.index.int() == first).float().mean())
    assert 0.3 < unchanged < 0.8  # new connections have small weights, so they are pruned first
    monkeypatch.setattr(topology, "chunk_rows", lambda features: 4)
    assert head.first_connections() == pytest.approx(unchanged)


@given(st.floats(0, 1), st.integers(0, 50), st.booleans(), st.integers(1, 30))
def test_a_fraction_prunes_that_many_of_the_smallest(
    fraction: float, seed: int, tied: bool, chunk: int
) -> None:
    head = make(seed, tied)
    before, index = head.weight.detach().clone(), head.index.clone().int()
    moments = [torch.ones_like(before), torch.full_like(before, 2.0)]
    cut = cut_fraction(head.weight, fraction, OneProcess(), chunk)
    replaced = rewire(head, moments, cut, seed, 1)
    target = int(fraction * L * K)
    assert replaced == target
    # Stable: of equal magnitudes the first by label and position are pruned.
    pruned = torch.zeros(L * K, dtype=torch.bool)
    pruned[before.abs().flatten().argsort(stable=True)[:target]] = True
    pruned = pruned.view(L, K)
    assert torch.equal(head.index.int()[~pruned], index[~pruned])
    assert torch.equal(head.weight[~pruned], before[~pruned])
    assert (head.weight[pruned] == 0).all()
    for moment, value in zip(moments, (1.0, 2.0), strict=True):
        assert (moment[pruned] == 0).all()
        assert (moment[~pruned] == value).all()
    ordered = head.index.long().sort(1).values
    assert (ordered[:, 1:] > ordered[:, :-1]).all()
    assert int(ordered.max()) < D


@given(st.integers(0, K), st.integers(0, 50), st.booleans(), st.integers(1, 30))
def test_by_row_each_label_loses_as_many_of_its_smallest(
    count: int, seed: int, tied: bool, chunk: int
) -> None:
    head = make(seed, tied)
    before, index = head.weight.detach().clone(), head.index.clone().int()
    moment = torch.ones_like(before)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rewire_op, "chunk_rows", lambda features: chunk)
        assert rewire(head, [moment], Cut(0, 0, count), seed, 1) == count * L
    for label in range(L):
        # Of equal magnitudes the first are pruned: a stable sort by hand.
        order = sorted(range(K), key=lambda place: (abs(float(before[label, place])), place))
        pruned, rest = order[:count], order[count:]
        assert head.weight[label, pruned].tolist() == moment[label, pruned].tolist() == [0.0] * count
        assert torch.equal(head.weight[label, rest], before[label, rest])
        assert torch.equal(head.index[label].int()[rest], index[label, rest])
        assert len(set(head.index[label].tolist())) == K


@pytest.mark.parametrize("cut", [1, 8])
def test_by_row_any_number_of_processes_gives_the_same_topology(cut: int) -> None:
    whole, parts = make(4), [make(4, False, 0, cut), make(4, False, cut, L - cut)]
    for head in (whole, *parts):
        rewire(head, [], Cut(0, 0, 2), 4, 2)
    assert torch.equal(torch.cat([part.index.int() for part in parts]), whole.index.int())


def test_the_cut_by_row_is_the_fraction_of_the_fan_in() -> None:
    weight = torch.randn(L, 10)
    config = from_table(RewireConfig, {"interval": 5, "fraction": 0.25, "prune": "row"}, "rewire")
    assert next_cut(config, weight, 5, 100) == Cut(0, 0, 2)
    assert next_cut(config, weight, 6, 100) is None
    table = {"rewire": {"prune": "row", "fraction": 0.2}, "head": {"fan_in": 4}}
    with pytest.raises(XmcpipeError, match=r"expected rewire.fraction >= 1 / head.fan_in = 0\.25 .* got 0"):
        from_table(TrainConfig, table, "train")
    with pytest.raises(XmcpipeError, match="expected prune = 'layer' with mode = 'threshold'"):
        from_table(RewireConfig, {"mode": "threshold", "prune": "row"}, "rewire")


@pytest.mark.parametrize("threshold", [0.0, 0.05, 0.3, 100.0])
def test_a_threshold_prunes_all_below_it(threshold: float) -> None:
    head = make()
    below = head.weight.detach().abs() < threshold
    replaced = rewire(head, [], cut_threshold(threshold), 0, 1)
    assert replaced == int(below.sum())
    assert (head.weight[below] == 0).all()


def test_nothing_to_prune_changes_nothing() -> None:
    head = make()
    weight, index = head.weight.detach().clone(), head.index.clone()
    assert rewire(head, [], Cut(0, 0), 0, 1) == 0
    assert torch.equal(head.weight, weight)
    assert torch.equal(head.index.int(), index.int())


class Threads:
    """Ranks as threads that meet at a barrier, which do what all_gather of torch.distributed does."""

    def __init__(self, rank: int, barrier: threading.Barrier, board: dict[int, Tensor]) -> None:
        self.rank, self._barrier, self._board = rank, barrier, board

    def gather(self, tensor: Tensor) -> Tensor:
        self._board[self.rank] = tensor
        self._barrier.wait()
        gathered = torch.stack([self._board[rank] for rank in sorted(self._board)])
        self._barrier.wait()
        return gathered


@pytest.mark.parametrize("bounds", [(0, L), (0, 1, L), (0, 9, 10, L), (0, 5, 11, 17, L)])
@pytest.mark.parametrize("tied", [False, True])
def test_any_number_of_processes_gives_the_same_topology(bounds: tuple[int, ...], tied: bool) -> None:
    whole = make(4, tied)
    rewire(whole, [], cut_fraction(whole.weight, 0.4, OneProcess()), 4, 2)
    ranges = list(pairwise(bounds))
    parts = [make(4, tied, first, last - first) for first, last in ranges]
    barrier = threading.Barrier(len(parts))
    board: dict[int, Tensor] = {}

    def work(rank: int) -> None:
        cut = cut_fraction(parts[rank].weight, 0.4, Threads(rank, barrier, board), 3)
        rewire(parts[rank], [], cut, 4, 2)

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(len(parts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert torch.equal(torch.cat([part.index.int() for part in parts]), whole.index.int())
    assert torch.equal(torch.cat([part.weight.data for part in parts]), whole.weight.data)
