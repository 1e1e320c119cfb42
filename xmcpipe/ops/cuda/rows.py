"""What the gathering CUDA kernels share: features transposed and padded, rows of the batch in shared memory.

B rows, D features; `stride` is B rounded up to whole groups of eight rows, padded with zeros.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from xmcpipe.ops.cuda.geometry import FORMATS, LANE_ROWS, MAX_GROUP, padded, persistent_blocks
from xmcpipe.ops.nvrtc.kernel_table import KERNELS
from xmcpipe.ops.nvrtc.launch import blocks_per_multiprocessor, load
from xmcpipe.ops.nvrtc.variant import Variant

MAX_FAN_IN = 512
WIDE_THREADS = 512  # of a block that fills a multiprocessor's shared memory alone


def supports(index_LK: Tensor, *tensors: Tensor) -> bool:
    """Whether the kernels support such a layer: 16- or 32-bit floats, K a multiple of 8 up to 512.

    Rows are read 16 bytes at a time, so they must start at multiples of 16 bytes.
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


class Gathering(NamedTuple):
    """How a gathering kernel is launched for some features: `group` lanes compute a label."""

    variant: Variant
    shared_bytes: int
    group: int

    @property
    def rows(self) -> int:
        """Rows of the batch that a block holds."""
        return LANE_ROWS * self.group

    def row_blocks(self, stride: int) -> int:
        """Blocks along the rows of the batch."""
        return -(-stride // self.rows)

    def label_blocks(self, device: torch.device, num_labels: int, row_blocks: int = 1) -> int:
        """Blocks along the labels of a grid that runs all at once."""
        tiles = -(-num_labels * self.group // self.variant.threads)
        return persistent_blocks(resident_blocks(self.variant, device, self.shared_bytes), tiles, row_blocks)


def gathering(entry: str, features_DB: Tensor, **macros: int) -> Gathering:
    """How to launch the gathering kernel `entry` for these features.

    As many rows as fit are stored in shared memory. If not even eight fit, they are read from global memory,
    which means from L2. A block that fills a multiprocessor's shared memory alone gets twice the threads.
    """
    kernel, (num_features, stride) = KERNELS[entry], features_DB.shape
    device = features_DB.device
    # As many lanes as the batch has rows for, up to a limit: more rows reuse each weight that is read.
    group = 1
    while group < MAX_GROUP and group * LANE_ROWS < stride:
        group *= 2
    whole_batch, macros = group, {"FEATURE": FORMATS[features_DB.dtype], **macros}
    # Then fewer, until the rows of a block fit in shared memory.
    while group:
        shared = LANE_ROWS * group * num_features * features_DB.element_size()
        variant = kernel.variant(GROUP=group, SHARED=1, **macros)
        limit = load(variant, device).shared
        if shared <= limit:
            if 2 * shared > limit and "THREADS" in dict(kernel.macros):
                wide = kernel.variant(GROUP=group, SHARED=1, THREADS=WIDE_THREADS, **macros)
                variant = wide if shared <= load(wide, device).shared else variant
            return Gathering(variant, shared, group)
        group //= 2
    return Gathering(kernel.variant(GROUP=whole_batch, SHARED=0, **macros), 0, whole_batch)


def resident_blocks(variant: Variant, device: torch.device, shared_bytes: int) -> int:
    """The number of blocks of a kernel that the card runs at once."""
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    return blocks_per_multiprocessor(variant, device, shared_bytes) * processors
