"""SET: prune the weakest connections, and grow as many at random in the same rows (Mocanu et al., 2018).

Both modes of pruning select all weights below a threshold, and the first few that equal it. For a fraction
the threshold is computed exactly, from two histograms of the bits of |weight|, since the bits of non-negative
floats have the same order as the floats. The histograms are summed over chunks and processes, so that the
topology doesn't depend on either.

The smallest weights of the whole layer are mostly those of rare labels, whose rows then change all the time.
With `prune = "row"` every label replaces the same number of its own.

Labels of a group share their features: what is pruned is a slot of the group, by the mean |weight| of its
labels.

L labels, K fan-in.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from xmcpipe.modeling.heads import Head
from xmcpipe.ops.layer import whole_groups
from xmcpipe.ops.rewire import ffi_rewire_, magnitude_bits, strengths
from xmcpipe.ops.topology import chunk_rows
from xmcpipe.training.head_config import RewireConfig
from xmcpipe.training.schedule import prune_threshold

HIGH_BINS, LOW_BINS = 1 << 15, 1 << 16


class Ranks(Protocol):
    """The processes that share a layer; each has a range of labels, in the order of their ranks."""

    rank: int

    def gather(self, tensor: Tensor) -> Tensor:
        """The tensors of all ranks, [ranks, ...]."""
        ...


class OneProcess:
    """The Ranks of a layer that one process owns."""

    rank = 0

    def gather(self, tensor: Tensor) -> Tensor:
        return tensor.unsqueeze(0)


@dataclass(frozen=True)
class Cut:
    """The connections to prune: all whose |weight| has bits below `bits`, and the first `ties` with `bits`.

    The ties are counted within this process. If `row_count` is not 0, the `row_count` smallest of each row
    are pruned instead.
    """

    bits: int
    ties: int
    row_count: int = 0


def cut_fraction(weight_LK: Tensor, fraction: float, ranks: Ranks, rows: int = 0, group: int = 1) -> Cut:
    """The cut that prunes the floor(fraction * connections) smallest |weight| of the whole layer.

    Ties are broken by label id, then by position in the row. With groups of `group` labels, the slots of
    groups are the connections, and the mean |weight| of a slot counts. `rows` labels are read at a time; 0
    means a default.
    """
    device, (num_labels, fan_in) = weight_LK.device, weight_LK.shape
    total = int(ranks.gather(torch.tensor(-(-num_labels // group) * fan_in, device=device)).sum())
    target = int(fraction * total)
    if target == 0:
        return Cut(0, 0)
    rows = whole_groups(rows or chunk_rows(fan_in), group)
    # Radix selection in two passes: the first finds the upper 16 bits of the threshold, the second the lower
    # 16 among the weights that have these upper bits.
    pieces = [weight_LK[begin : begin + rows] for begin in range(0, num_labels, rows)]
    high = torch.zeros(HIGH_BINS, dtype=torch.int64, device=device)
    for piece in pieces:
        bits = magnitude_bits(strengths(piece, group)).flatten()
        high += torch.bincount(bits >> 16, minlength=HIGH_BINS)
    high_bin, below = _bin_of(ranks.gather(high).sum(0), target)
    low = torch.zeros(LOW_BINS, dtype=torch.int64, device=device)
    for piece in pieces:
        bits = magnitude_bits(strengths(piece, group)).flatten()
        low += torch.bincount(bits[bits >> 16 == high_bin] & 0xFFFF, minlength=LOW_BINS)
    lows = ranks.gather(low)
    low_bin, below_in_bin = _bin_of(lows.sum(0), target - below)
    before = int(lows[: ranks.rank, low_bin].sum())  # the ties of lower ranks are pruned first
    return Cut((high_bin << 16) | low_bin, max(target - below - below_in_bin - before, 0))


def cut_threshold(threshold: float) -> Cut:
    """The cut that prunes all weights with |weight| < threshold."""
    return Cut(int(torch.tensor(threshold, dtype=torch.float32).view(torch.int32)), 0)


def next_rewiring(config: RewireConfig, step: int, total_steps: int) -> int | None:
    """The first step from `step` on, counted from 1, that a rewiring follows; None if there is none."""
    if not config.interval:
        return None
    following = -(-step // config.interval) * config.interval
    return following if following <= config.until * total_steps else None


def next_cut(
    config: RewireConfig, weight_LK: Tensor, step: int, total_steps: int, group: int = 1
) -> Cut | None:
    """The cut after step number `step`, from 1; None if no rewiring follows this step."""
    if next_rewiring(config, step, total_steps) != step:
        return None
    last = config.until * total_steps
    if config.mode == "fraction" and config.prune == "row":
        return Cut(0, 0, int(config.fraction * weight_LK.shape[1]))
    if config.mode == "fraction":
        return cut_fraction(weight_LK, config.fraction, OneProcess(), group=group)
    return cut_threshold(prune_threshold(step, last, config.threshold, config.final_threshold))


@torch.no_grad()
def rewire(head: Head, moments_LK: list[Tensor], cut: Cut, seed: int, rewiring: int) -> int:
    """Prune `cut` and regrow in place; returns the number of connections of this head that were replaced.

    New connections have weight 0 and moments 0. `moments_LK` are optimizer tensors of the weight's shape;
    `rewiring` is the number of this rewiring, from 1. The head must rewire (`Head.rewires`).
    """
    layer, shape = (head.weight, head.index, moments_LK), head.shape
    of_labels = (shape.first_label, shape.in_features, cut.row_count, shape.group)
    return int(ffi_rewire_(*layer, cut.bits, cut.ties, seed, rewiring, *of_labels))


def _bin_of(histogram: Tensor, target: int) -> tuple[int, int]:
    """The bin of the `target`-th element (from 1), and the number of elements in the bins before it."""
    cumulative = histogram.cumsum(0)
    number = int(torch.searchsorted(cumulative, target))
    return number, int(cumulative[number] - histogram[number])
