"""Rewiring as a PyTorch operator: prune the connections below a cut, regrow in the same rows, in place.

A cut prunes every |weight| below a threshold, and the first `ties` of those that equal it, in the order of
label and place. The threshold is given as the bits of a float32: for floats that are not negative, bits and
values have the same order. The trainer computes the cut (`training.rewiring`).

L labels, K fan-in, R labels of a piece, T labels of a piece that lose a connection.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from xmcpipe.ops.checks import FLOATS, check_index
from xmcpipe.ops.dispatch import cuda_kernels_usable
from xmcpipe.ops.layer import Rewiring, SparseLayer
from xmcpipe.ops.topology import chunk_rows, regrow

# (labels_T int64, local; index_TK; pruned_TK) -> uint16 [T, K], with new features at the pruned places
Choose = Callable[[Tensor, Tensor, Tensor], Tensor]
MAX_MOMENTS_ON_CUDA = 2


def check(layer: SparseLayer, moments: list[Tensor], rewiring: Rewiring) -> None:
    """Raise ValueError unless the arguments are valid for `ffi_rewire_`; tensor values are not read."""
    weight = layer.weight
    check_index(weight, layer.index, rewiring.num_features)
    if weight.dtype not in FLOATS:
        raise ValueError(f"expected weight bfloat16, float16 or float32, got {weight.dtype}")
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
) -> Tensor:
    """Prune and regrow in place; returns the number of connections replaced, int64 [].

    `weight` [L, K] bfloat16, float16 or float32; `index` uint16 [L, K]; `moments`: optimizer tensors [L, K].
    Connections with |weight| below `bits` are replaced, and the first `ties` of those equal to it; if
    `row_count` is not 0, the `row_count` smallest of each row instead, of equal ones the first. The new
    features are those of `topology.regrow` for (seed, rewiring, first_label + l), with weight and moments 0.
    `rewiring` counts from 1. Raises ValueError for other shapes or dtypes.
    """
    layer, settings = (
        SparseLayer(weight, index),
        Rewiring(bits, ties, seed, rewiring, first_label, num_features, row_count),
    )
    check(layer, moments, settings)
    # The kernel takes one threshold for the whole layer.
    if not row_count and cuda_kernels_usable(index, weight) and _moments_fit_cuda(moments):
        import xmcpipe.ops.cuda.rewire

        return xmcpipe.ops.cuda.rewire.rewire_(layer, moments, settings)
    return _rewire_in_torch_(layer, moments, settings)


def _rewire_in_torch_(layer: SparseLayer, moments: list[Tensor], rewiring: Rewiring) -> Tensor:
    def choose(labels_T: Tensor, index_TK: Tensor, pruned_TK: Tensor) -> Tensor:
        labels_T = labels_T + rewiring.first_label
        return regrow(index_TK, pruned_TK, rewiring.seed, rewiring.number, labels_T, rewiring.num_features)

    # In pieces, because `regrow` allocates a random key for each feature of each row.
    return rewire_by_(layer, moments, rewiring, choose, chunk_rows(rewiring.num_features))


def rewire_by_(
    layer: SparseLayer, moments: list[Tensor], rewiring: Rewiring, choose: Choose, rows: int
) -> Tensor:
    """As `ffi_rewire_`, with the new features that `choose` returns, for `rows` labels at a time.

    `choose` is called before the weights of its labels change.
    """
    weight, index, *_ = layer
    replaced, ties_left = weight.new_zeros((), dtype=torch.int64), rewiring.ties
    for begin in range(0, len(weight), rows):
        piece = slice(begin, min(begin + rows, len(weight)))
        if rewiring.row_count:
            pruned_RK = _smallest_of_each_row(weight[piece], rewiring.row_count)
        else:
            pruned_RK, num_tied = _pruned(weight[piece], rewiring.bits, ties_left)
            ties_left -= num_tied
        # Most rewirings prune in few rows: only those are copied, regrown and written back.
        rows_T = pruned_RK.any(1).nonzero().squeeze(1)
        if len(rows_T) == 0:
            continue
        pruned_TK, rows_T = pruned_RK[rows_T], rows_T + begin
        index_bits = index.view(torch.int16)  # the same bits: torch can't index uint16 on CUDA
        index_TK = index_bits[rows_T].view(torch.uint16)
        index_bits[rows_T] = choose(rows_T, index_TK, pruned_TK).view(torch.int16)
        for tensor in [weight, *moments]:
            tensor[rows_T] = tensor[rows_T].masked_fill(pruned_TK, 0.0)
        replaced += pruned_TK.sum()
    return replaced


@ffi_rewire_.register_fake
def _empty_rewire(weight: Tensor, index: Tensor, moments: list[Tensor], *schema: Any) -> Tensor:
    """A result of the right shape; `schema` is the rest of the operator's arguments."""
    check(SparseLayer(weight, index), moments, Rewiring(*schema))
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
    """The `count` smallest |weight| of each row, bool [R, K]; of equal ones the first."""
    order_RK = magnitude_bits(weight_RK).argsort(dim=1, stable=True)
    pruned_RK = torch.zeros_like(order_RK, dtype=torch.bool)
    return pruned_RK.scatter_(1, order_RK[:, :count], True)
