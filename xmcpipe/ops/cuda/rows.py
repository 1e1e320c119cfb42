"""How the gathering CUDA kernels are cut: features transposed and padded, the rows of the batch that a block
holds, and a grid that fills the card.

B rows, D features; `stride` is B rounded up to whole groups of eight rows, padded with zeros.
"""

import torch
from torch import Tensor

from xmcpipe.ops.nvrtc.launch import blocks_per_multiprocessor, load
from xmcpipe.ops.nvrtc.table import KERNELS
from xmcpipe.ops.nvrtc.variant import Variant

FORMATS = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}
LANE_ROWS = 8  # rows of the batch that a lane holds
MAX_GROUP = 8  # lanes to a label
MAX_FAN_IN = 512
SUM_THREADS, SUM_BLOCKS = 256, 2048  # of the kernels that add up shares


def takes(index_LK: Tensor, *tensors: Tensor) -> bool:
    """Whether the kernels are for such a layer: 16- or 32-bit floats, K a multiple of 8 up to 512.

    Rows are read 16 bytes at a time, so that they must begin at such a place.
    """
    fan_in = index_LK.shape[1]
    rows = [index_LK, *(tensor for tensor in tensors if tensor.shape == index_LK.shape)]
    return (
        index_LK.numel() > 0
        and fan_in % 8 == 0
        and fan_in <= MAX_FAN_IN
        and all(tensor.numel() > 0 and tensor.dtype in FORMATS for tensor in tensors)
        and all(tensor.is_contiguous() and tensor.data_ptr() % 16 == 0 for tensor in rows)
    )


def padded(rows: int) -> int:
    """`stride` for a batch of so many rows."""
    return -(-rows // LANE_ROWS) * LANE_ROWS


def transposed(features_BD: Tensor) -> Tensor:
    """features_DB [D, stride], zeros in the padding."""
    features_DB = features_BD.new_zeros(features_BD.shape[1], padded(len(features_BD)))
    features_DB[:, : len(features_BD)] = features_BD.T
    return features_DB


def by_label(grad_BL: Tensor) -> Tensor:
    """gradient_LB float32 [L, stride], zeros in the padding."""
    grad_LB = grad_BL.new_zeros(grad_BL.shape[1], padded(len(grad_BL)), dtype=torch.float32)
    grad_LB[:, : len(grad_BL)] = grad_BL.T
    return grad_LB


def gathering(entry: str, features_DB: Tensor, **macros: int) -> tuple[Variant, int, int]:
    """The variant of a gathering kernel for these features, its dynamic shared memory, its lanes to a label.

    As many rows as fit are kept in shared memory; where not even eight fit, they are read from global memory,
    that is from L2. A block that fills a multiprocessor's shared memory alone gets twice the threads.
    """
    kernel, (num_features, stride) = KERNELS[entry], features_DB.shape
    wanted = 1
    while wanted < MAX_GROUP and wanted * LANE_ROWS < stride:
        wanted *= 2
    group, macros = wanted, {"FEATURE": FORMATS[features_DB.dtype], **macros}
    while group:
        rows = LANE_ROWS * group
        shared = rows * num_features * features_DB.element_size()
        variant = kernel.variant(GROUP=group, SHARED=1, **macros)
        room = load(variant, features_DB.device).shared
        if shared <= room:
            wide = 2 * shared > room and "THREADS" in dict(kernel.macros)
            if (
                wide
                and shared
                <= load(kernel.variant(GROUP=group, THREADS=512, **macros), features_DB.device).shared
            ):
                variant = kernel.variant(GROUP=group, SHARED=1, THREADS=512, **macros)
            return variant, shared, group
        group //= 2
    return kernel.variant(GROUP=wanted, SHARED=0, **macros), 0, wanted


def persistent(variant: Variant, device: torch.device, shared: int, tiles: int, beside: int = 1) -> int:
    """Blocks along the labels: as many as run at once, `beside` others to each, and no more than tiles."""
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    at_once = blocks_per_multiprocessor(variant, device, shared) * processors
    return max(1, min(tiles, at_once // beside))


def sum_grid(count: int) -> tuple[int]:
    """The grid of a kernel that adds up the shares of `count` numbers."""
    return (min(-(-count // SUM_THREADS), SUM_BLOCKS),)


def momentum_kind(weight: Tensor, momentum: Tensor | None) -> int:
    """The macro MOMENTUM: 0 for none, 1 in the weight's format, 2 bfloat16 beside another."""
    return 0 if momentum is None else 1 if momentum.dtype == weight.dtype else 2
