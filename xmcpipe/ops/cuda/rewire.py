"""Rewiring in place by kernels/ffi_rewire.cu.

L labels, K fan-in.
"""

import torch
from torch import Tensor

from xmcpipe.ops.cuda.geometry import FORMATS
from xmcpipe.ops.cuda.rows import resident_blocks
from xmcpipe.ops.layer import Rewiring, SparseLayer
from xmcpipe.ops.nvrtc.kernel_table import KERNELS
from xmcpipe.ops.nvrtc.launch import launch

SLACK = 256  # kernels/ffi_rewire.cu: most keys that it collects in addition to the fan-in
TIES_ROWS, MAX_TIES_BLOCKS = 8, 65_535  # rows of a block that counts ties; size of its grid
KEY_BYTES, CHOSEN_BYTES = 8, 2


def rewire_(layer: SparseLayer, moments: list[Tensor], rewiring: Rewiring) -> Tensor:
    """See `ops.rewire.ffi_rewire_`. Arguments are checked; there are at most two moments, of one dtype."""
    weight_LK, device = layer.weight, layer.weight.device
    weight_format = FORMATS[weight_LK.dtype]
    moment_format = FORMATS[moments[0].dtype] if moments else FORMATS[torch.bfloat16]
    variant = KERNELS["ffi_rewire"].variant(WEIGHT=weight_format, MOMENT=moment_format)
    shared = rewire_shared_bytes(layer.fan_in, rewiring.num_features)
    blocks = min(layer.num_labels, resident_blocks(variant, device, shared))
    replaced = torch.empty(blocks, dtype=torch.int64, device=device)
    # The kernel edits up to two moments; a missing one is a null pointer.
    first_moment, second_moment = [*moments, None, None][:2]
    launch(
        variant,
        device,
        (blocks,),
        shared,
        weight_LK=weight_LK,
        index_LK=layer.index,
        moment0_LK=first_moment,
        moment1_LK=second_moment,
        ties_before_L=_ties_before(weight_LK, rewiring.bits) if rewiring.ties else None,
        replaced=replaced,
        bits=rewiring.bits,
        ties=rewiring.ties,
        seed=rewiring.seed,
        rewiring=rewiring.number,
        first_label=rewiring.first_label,
        begin=0,
        end=layer.num_labels,
        num_features=rewiring.num_features,
        fan_in=layer.fan_in,
    )
    return replaced.sum()


def rewire_shared_bytes(fan_in: int, num_features: int) -> int:
    """Dynamic shared memory of ffi_rewire in bytes: keys, chosen features, and a bitmask of the features."""
    return KEY_BYTES * (fan_in + SLACK) + CHOSEN_BYTES * fan_in + 4 * (-(-num_features // 32))


def _ties_before(weight_LK: Tensor, bits: int) -> Tensor:
    """For each label, the number of ties in all labels before it: int64 [L]."""
    num_labels, fan_in = weight_LK.shape
    counts = torch.zeros(num_labels + 1, dtype=torch.int64, device=weight_LK.device)
    launch(
        KERNELS["ffi_rewire_ties"].variant(WEIGHT=FORMATS[weight_LK.dtype]),
        weight_LK.device,
        (min(-(-num_labels // TIES_ROWS), MAX_TIES_BLOCKS),),
        0,
        weight_LK=weight_LK,
        ties_L=counts[1:],  # shifted by one, so that the sums below exclude the label itself
        bits=bits,
        begin=0,
        end=num_labels,
        fan_in=fan_in,
    )
    return torch.cumsum(counts, 0, out=counts)[:num_labels]
