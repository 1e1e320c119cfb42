"""SET: prune the weakest connections, grow as many at random in the same rows (Mocanu et al., 2018).

Both prune modes come down to "all below a threshold, and of those exactly at it the first few". For a
fraction the threshold is found exactly from two histograms of the bits of |weight| (the bits of a float that
isn't negative are in the order of its value), summed over chunks and processes, so that no chunking changes
the topology.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from xmcpipe.modeling.heads import FFIHead
from xmcpipe.ops.rewire import ffi_rewire_, magnitude_bits
from xmcpipe.ops.topology import chunk_rows

HIGH_BINS, LOW_BINS = 1 << 15, 1 << 16


class Ranks(Protocol):
    """The processes that share a layer, each with a range of labels, in rank order."""

    rank: int

    def gather(self, tensor: Tensor) -> Tensor:
        """The tensors of all ranks, [ranks, ...]."""
        ...


class OneProcess:
    """The whole layer in this process."""

    rank = 0

    def gather(self, tensor: Tensor) -> Tensor:
        return tensor.unsqueeze(0)


@dataclass(frozen=True)
class Cut:
    """What goes: |weight| whose bits are below `bits`, and the first `ties` of this process's that are
    equal.
    """

    bits: int
    ties: int


def cut_fraction(weight_LK: Tensor, fraction: float, ranks: Ranks, rows: int = 0) -> Cut:
    """The floor(fraction * connections) smallest |weight| of the whole layer; ties by label number, then
    place.
    """
    device = weight_LK.device
    total = int(ranks.gather(torch.tensor(weight_LK.numel(), device=device)).sum())
    target = int(fraction * total)
    if target == 0:
        return Cut(0, 0)
    rows = rows or chunk_rows(weight_LK.shape[1])
    pieces = [weight_LK[begin : begin + rows] for begin in range(0, len(weight_LK), rows)]
    high = torch.zeros(HIGH_BINS, dtype=torch.int64, device=device)
    for piece in pieces:
        high += torch.bincount((magnitude_bits(piece) >> 16).flatten(), minlength=HIGH_BINS)
    high_bin, below = _bin_of(ranks.gather(high).sum(0), target)
    low = torch.zeros(LOW_BINS, dtype=torch.int64, device=device)
    for piece in pieces:
        bits = magnitude_bits(piece).flatten()
        low += torch.bincount(bits[bits >> 16 == high_bin] & 0xFFFF, minlength=LOW_BINS)
    lows = ranks.gather(low)
    low_bin, below_in_bin = _bin_of(lows.sum(0), target - below)
    before = int(lows[: ranks.rank, low_bin].sum())  # ties that lower ranks hold come first
    return Cut((high_bin << 16) | low_bin, max(target - below - below_in_bin - before, 0))


def cut_threshold(threshold: float) -> Cut:
    """All with |weight| < threshold."""
    return Cut(int(torch.tensor(threshold, dtype=torch.float32).view(torch.int32)), 0)


@torch.no_grad()
def rewire(head: FFIHead, moments_LK: list[Tensor], cut: Cut, seed: int, rewiring: int) -> int:
    """Prune `cut` and regrow in place; returns how many connections of this head were replaced.

    Regrown connections get weight 0 and moments 0. `moments_LK`: optimizer tensors of the weight's shape;
    `rewiring`: 1 for the first.
    """
    first, width = head.shape.first_label, head.shape.in_features
    replaced = ffi_rewire_(
        head.weight, head.index, moments_LK, cut.bits, cut.ties, seed, rewiring, first, width
    )
    return int(replaced)


def _bin_of(histogram: Tensor, target: int) -> tuple[int, int]:
    """The bin in which the `target`-th element (from 1) lies, and how many lie in the bins before it."""
    cumulative = histogram.cumsum(0)
    number = int(torch.searchsorted(cumulative, target))
    return number, int(cumulative[number] - histogram[number])
