"""Rewiring as a PyTorch operator: prune what a cut says, regrow in the same rows, in place.

A cut is "all |weight| whose float32 bits are below `bits`, and of those exactly at it the first `ties`, by
label, then place": the bits of a float that is not negative are in the order of its value. Finding the cut is
the trainer's business.

L labels, K fan-in, R labels of a piece, T of them touched.
"""

import torch
from torch import Tensor

from xmcpipe.ops.dispatch import on_cuda
from xmcpipe.ops.ffi import FLOATS, check_index
from xmcpipe.ops.topology import chunk_rows, regrow


def check(weight: Tensor, index: Tensor, moments: list[Tensor], num_features: int, rewiring: int) -> None:
    """Raise ValueError unless the tensors are those of a layer; their values are not read."""
    check_index(weight, index, num_features)
    if weight.dtype not in FLOATS:
        raise ValueError(f"weight bfloat16, float16 or float32 is wanted, got {weight.dtype}")
    for moment in moments:
        if moment.shape != weight.shape:
            raise ValueError(f"moments {list(weight.shape)} are wanted, got {list(moment.shape)}")
    if rewiring < 1:
        raise ValueError(f"rewiring from 1 on is wanted, got {rewiring}")


def magnitude_bits(weight: Tensor) -> Tensor:
    """The float32 bits of |weight|, int64, in the order of the values."""
    return weight.detach().abs().float().contiguous().view(torch.int32).to(torch.int64)


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
) -> Tensor:
    """Prune and regrow in place; returns the number of connections replaced, int64 [].

    `weight` [L, K] bfloat16, float16 or float32; `index` uint16 [L, K]; `moments`: optimizer tensors [L, K].
    What has |weight| below `bits` goes, and the first `ties` that are equal; the new places are those of
    `topology.regrow` for (seed, rewiring, first_label + l), with weight and moments 0. Raises ValueError for
    other shapes or dtypes.
    """
    check(weight, index, moments, num_features, rewiring)
    if on_cuda(index, weight) and _moments_on_cuda(moments):
        from xmcpipe.ops.cuda import rewire as rewire_cuda

        return rewire_cuda.rewire_(
            weight, index, moments, bits, ties, seed, rewiring, first_label, num_features
        )
    replaced, ties_left = weight.new_zeros((), dtype=torch.int64), ties
    rows = chunk_rows(num_features)
    for begin in range(0, len(weight), rows):
        piece = slice(begin, min(begin + rows, len(weight)))
        pruned_RK, tied = _pruned(weight[piece], bits, ties_left)
        ties_left -= tied
        touched_T = pruned_RK.any(1).nonzero().squeeze(1)
        if len(touched_T) == 0:
            continue
        pruned_TK, touched_T = pruned_RK[touched_T], touched_T + begin
        held = index.view(torch.int16)  # the same bits: torch has no indexing of uint16 on CUDA
        index_TK = held[touched_T].view(torch.uint16)
        grown = regrow(index_TK, pruned_TK, seed, rewiring, touched_T + first_label, num_features)
        held[touched_T] = grown.view(torch.int16)
        for tensor in [weight, *moments]:
            tensor[touched_T] = tensor[touched_T].masked_fill(pruned_TK, 0.0)
        replaced += pruned_TK.sum()
    return replaced


def _empty_replaced(
    weight: Tensor,
    index: Tensor,
    moments: list[Tensor],
    bits: int,
    ties: int,
    seed: int,
    rewiring: int,
    first_label: int,
    num_features: int,
) -> Tensor:
    check(weight, index, moments, num_features, rewiring)
    return weight.new_empty((), dtype=torch.int64)


def _moments_on_cuda(moments: list[Tensor]) -> bool:
    """Whether the kernel takes them: up to two, of one dtype."""
    return len(moments) <= 2 and all(
        moment.dtype == moments[0].dtype and moment.dtype in FLOATS and moment.is_contiguous()
        for moment in moments
    )


def _pruned(weight_RK: Tensor, bits: int, ties: int) -> tuple[Tensor, int]:
    """Which connections go, bool [R, K], and how many of the `ties` are among them."""
    bits_RK = magnitude_bits(weight_RK)
    pruned_RK = bits_RK < bits
    if ties == 0:
        return pruned_RK, 0
    tied_RK = bits_RK == bits
    pruned_RK |= tied_RK & (tied_RK.flatten().cumsum(0).view_as(tied_RK) <= ties)
    return pruned_RK, min(ties, int(tied_RK.sum()))


ffi_rewire_.register_fake(_empty_replaced)
