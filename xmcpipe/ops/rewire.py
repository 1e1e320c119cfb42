"""Rewiring as a PyTorch operator: prune the connections below a cut, regrow in the same rows, in place.

A cut prunes every |weight| below a threshold, and the first `ties` of those that equal it, in the order of
label and place. The threshold is given as the bits of a float32: for floats that are not negative, bits and
values have the same order. The trainer computes the cut (`training.rewiring`).

Labels of a group share their features, so a slot of a group is pruned as a whole: what counts is the mean
|weight| of its labels, its strength. With groups of one label, rows and slots are labels and connections.

L labels, G labels of a group, K fan-in, R rows of the index (groups) of a piece, T rows of a piece that lose
a slot.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from xmcpipe.ops.checks import FLOATS, WEIGHTS, check_index
from xmcpipe.ops.dispatch import cuda_kernels_usable
from xmcpipe.ops.layer import Rewiring, SparseLayer
from xmcpipe.ops.rounding import FLOAT8, decoded
from xmcpipe.ops.topology import chunk_rows, regrow

# (rows_T int64, local; index_TK; pruned_TK) -> uint16 [T, K], with new features at the pruned places
Choose = Callable[[Tensor, Tensor, Tensor], Tensor]
MAX_MOMENTS_ON_CUDA = 2
PIECE_VALUES = 1 << 23  # of weights that are copied at a time


def check(layer: SparseLayer, moments: list[Tensor], rewiring: Rewiring) -> None:
    """Raise ValueError unless the arguments are valid for `ffi_rewire_`; tensor values are not read."""
    weight = layer.weight
    check_index(weight, layer.index, rewiring.num_features, layer.group)
    if weight.dtype not in WEIGHTS:
        raise ValueError(f"expected weight bfloat16, float16, float32 or float8_e4m3fn, got {weight.dtype}")
    for moment in moments:
        if moment.shape != weight.shape:
            raise ValueError(f"expected moments {list(weight.shape)}, got {list(moment.shape)}")
    if rewiring.number < 1:
        raise ValueError(f"expected rewiring >= 1, got {rewiring.number}")
    if not 0 <= rewiring.row_count <= layer.fan_in:
        raise ValueError(f"expected 0 <= row_count <= K = {layer.fan_in}, got {rewiring.row_count}")


def magnitude_bits(weight: Tensor) -> Tensor:
    """The float32 bits of |weight| as int64; larger values have larger bits."""
    return weight.detach().abs().float().contiguous().view(torch.int32).to(torch.int64)


def strengths(weight_LK: Tensor, group: int) -> Tensor:
    """The mean |weight| of each slot of the groups, [R, K]: in float32, or |weight| itself for G = 1.

    `weight_LK` is as it is stored; strengths are of its values.

    Labels are added one after the other, so that the bits are the same in any piece and on any device.
    """
    weight_LK = decoded(weight_LK.detach())
    if group == 1:
        return weight_LK.abs()
    num_whole, num_left = divmod(len(weight_LK), group)
    total_RK = weight_LK.new_zeros(num_whole + (num_left > 0), weight_LK.shape[1], dtype=torch.float32)
    for number in range(group):
        of_number = weight_LK[number::group]
        total_RK[: len(of_number)] += of_number.abs()
    total_RK[:num_whole] /= group
    total_RK[num_whole:] /= max(num_left, 1)
    return total_RK


@torch.library.custom_op("xmcpipe::ffi_rewire_", mutates_args=("weight", "index", "moments"))
def ffi_rewire_(
    weight: Tensor,
    index: Tensor,
    moments: list[Tensor],
    bits: int,
    ties: int,
    seed: int,
    rewiring: int,
    first_label: int,
    num_features: int,
    row_count: int = 0,
    group: int = 1,
) -> Tensor:
    """Prune and regrow in place; returns the number of connections replaced, int64 [].

    `weight` [L, K] of a layer's dtypes; `index` uint16 [R, K] of groups of `group` labels;
    `moments`: optimizer tensors [L, K]. Slots whose strength is below `bits` are replaced, and the first
    `ties` of those equal to it; if `row_count` is not 0, the `row_count` weakest of each row instead, of
    equal ones the first. The new features are those of `topology.regrow` for (seed, rewiring,
    first_label / G + row), with weight and moments 0. `rewiring` counts from 1. Raises ValueError for other
    shapes or dtypes.
    """
    layer, settings = (
        SparseLayer(weight, index, group=group),
        Rewiring(bits, ties, seed, rewiring, first_label, num_features, row_count),
    )
    check(layer, moments, settings)
    # The kernel takes one threshold for the whole layer, and a row of the index for each label.
    usable = group == 1 and not row_count and _moments_fit_cuda(moments)
    if usable and cuda_kernels_usable(index, weight):
        import xmcpipe.ops.cuda.rewire

        return xmcpipe.ops.cuda.rewire.rewire_(layer, moments, settings)
    return _rewire_in_torch_(layer, moments, settings)


def _rewire_in_torch_(layer: SparseLayer, moments: list[Tensor], rewiring: Rewiring) -> Tensor:
    def choose(rows_T: Tensor, index_TK: Tensor, pruned_TK: Tensor) -> Tensor:
        rows_T = rows_T + rewiring.first_label // layer.group
        return regrow(index_TK, pruned_TK, rewiring.seed, rewiring.number, rows_T, rewiring.num_features)

    # In pieces, because `regrow` allocates a random key for each feature of each row.
    rows = min(chunk_rows(rewiring.num_features), chunk_groups(layer.group, layer.fan_in))
    return rewire_by_(layer, moments, rewiring, choose, rows)


def chunk_groups(group: int, fan_in: int) -> int:
    """Number of groups to rewire at a time: a copy of their weights has at most PIECE_VALUES values."""
    return max(1, PIECE_VALUES // (group * fan_in))


def rewire_by_(
    layer: SparseLayer, moments: list[Tensor], rewiring: Rewiring, choose: Choose, rows: int
) -> Tensor:
    """As `ffi_rewire_`, with the new features that `choose` returns, for `rows` rows of the index at a time.

    `choose` is called before the weights of its rows change.
    """
    weight, index, group = layer.weight, layer.index, layer.group
    replaced, ties_left = weight.new_zeros((), dtype=torch.int64), rewiring.ties
    for begin in range(0, len(index), rows):
        strength_RK = strengths(weight[begin * group : (begin + rows) * group], group)
        if rewiring.row_count:
            pruned_RK = _smallest_of_each_row(strength_RK, rewiring.row_count)
        else:
            pruned_RK, num_tied = _pruned(strength_RK, rewiring.bits, ties_left)
            ties_left -= num_tied
        # Most rewirings prune in few rows: only those are copied, regrown and written back.
        rows_T = pruned_RK.any(1).nonzero().squeeze(1)
        if len(rows_T) == 0:
            continue
        pruned_TK, rows_T = pruned_RK[rows_T], rows_T + begin
        index_bits = index.view(torch.int16)  # the same bits: torch can't index uint16 on CUDA
        index_TK = index_bits[rows_T].view(torch.uint16)
        index_bits[rows_T] = choose(rows_T, index_TK, pruned_TK).view(torch.int16)
        labels_N, number_N = _labels_of(rows_T, group, len(weight))
        pruned_NK = pruned_TK[number_N]
        for tensor in [weight, *moments]:
            # The bits of 0 are 0 in 8 bits too, where torch computes nothing.
            bits = tensor.view(torch.uint8) if tensor.dtype == FLOAT8 else tensor
            bits[labels_N] = bits[labels_N].masked_fill(pruned_NK, 0)
        replaced += pruned_NK.sum()
    return replaced


def _labels_of(rows_T: Tensor, group: int, num_labels: int) -> tuple[Tensor, Tensor]:
    """The labels of some groups, int64 [N], and the place of the group of each in `rows_T`."""
    labels_TG = rows_T.unsqueeze(1) * group + torch.arange(group, device=rows_T.device)
    places_TG = torch.arange(len(rows_T), device=rows_T.device).unsqueeze(1).expand_as(labels_TG)
    exists_TG = labels_TG < num_labels
    return labels_TG[exists_TG], places_TG[exists_TG]


@ffi_rewire_.register_fake
def _empty_rewire(weight: Tensor, index: Tensor, moments: list[Tensor], *schema: Any) -> Tensor:
    """A result of the right shape; `schema` is the rest of the operator's arguments."""
    group = schema[7] if len(schema) > 7 else 1
    check(SparseLayer(weight, index, group=group), moments, Rewiring(*schema[:7]))
    return weight.new_empty((), dtype=torch.int64)


def _moments_fit_cuda(moments: list[Tensor]) -> bool:
    """Whether the CUDA kernel can edit the moments: up to two, of one dtype."""
    return len(moments) <= MAX_MOMENTS_ON_CUDA and all(
        moment.dtype == moments[0].dtype and moment.dtype in FLOATS and moment.is_contiguous()
        for moment in moments
    )


def _pruned(weight_RK: Tensor, bits: int, ties: int) -> tuple[Tensor, int]:
    """Which connections are pruned, bool [R, K], and how many of the `ties` are among them."""
    bits_RK = magnitude_bits(weight_RK)
    pruned_RK = bits_RK < bits
    if ties == 0:
        return pruned_RK, 0
    tied_RK = bits_RK == bits
    pruned_RK |= tied_RK & (tied_RK.flatten().cumsum(0).view_as(tied_RK) <= ties)
    return pruned_RK, min(ties, int(tied_RK.sum()))


def _smallest_of_each_row(weight_RK: Tensor, count: int) -> Tensor:
    """The `count` smallest |values| of each row, bool [R, K]; of equal ones the first."""
    order_RK = magnitude_bits(weight_RK).argsort(dim=1, stable=True)
    pruned_RK = torch.zeros_like(order_RK, dtype=torch.bool)
    return pruned_RK.scatter_(1, order_RK[:, :count], True)
