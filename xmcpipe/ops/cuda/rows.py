"""Preparation that the gathering CUDA kernels share: transposed operands, and how to launch for a batch.

A gathering kernel reads only the K features of each label, from rows of the batch in shared memory.

B rows, D features; `stride` is B rounded up to whole groups of eight rows, padded_rows with zeros.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from xmcpipe.ops.cuda.geometry import (
    FORMATS,
    LANE_ROWS,
    MAX_GROUP,
    padded_rows,
    persistent_blocks,
    supports_fan_in,
)
from xmcpipe.ops.nvrtc.kernel_table import KERNELS
from xmcpipe.ops.nvrtc.launch import active_clusters, blocks_per_multiprocessor, load
from xmcpipe.ops.nvrtc.variant import Variant

WIDE_THREADS = 512  # threads of a block that fills the shared memory of a multiprocessor alone


def supports(index_LK: Tensor, *tensors: Tensor) -> bool:
    """Whether the kernels support these tensors: 16- or 32-bit floats, K a multiple of 8 up to 512.

    `tensors` are the other operands; weights may have 8 bits. The rows of the index, and of operands [L, K],
    are read eight numbers at a time, by 16 bytes (8 of weights of 8 bits), and must start at multiples of it.
    """
    rows = [index_LK, *(tensor for tensor in tensors if tensor.shape == index_LK.shape)]
    return (
        index_LK.numel() > 0
        and supports_fan_in(index_LK.shape[1])
        and all(tensor.numel() > 0 and tensor.dtype in FORMATS for tensor in tensors)
        and all(tensor.is_contiguous() and tensor.data_ptr() % 16 == 0 for tensor in rows)
    )


def transposed(features_BD: Tensor) -> Tensor:
    """The features as features_DB [D, stride], with zeros in the padding."""
    return padded(features_BD.T)


def padded(matrix_NB: Tensor) -> Tensor:
    """A matrix [N, B] as [N, stride] in memory of its own, with zeros in the padding."""
    num_lines, width = matrix_NB.shape
    padded_NS = _padding(matrix_NB.new_empty(num_lines, padded_rows(width)), width)
    padded_NS[:, :width] = matrix_NB
    return padded_NS


def by_label(grad_BL: Tensor, chunk: int) -> Iterator[tuple[Tensor, int, int]]:
    """The gradient of the scores by label, chunk by chunk of labels.

    Yields gradient_LB, float32 [chunk, stride] with zeros in the padding, whose first rows are those of the
    labels [begin, end), then `begin` and `end`. All chunks are in the same memory, which stays in L2.
    """
    num_rows, num_labels = grad_BL.shape
    size = (min(chunk, num_labels), padded_rows(num_rows))
    gradient_LB = _padding(grad_BL.new_empty(size, dtype=torch.float32), num_rows)
    for begin in range(0, num_labels, chunk):
        end = min(begin + chunk, num_labels)
        gradient_LB[: end - begin, :num_rows] = grad_BL[:, begin:end].T
        yield gradient_LB, begin, end


def _padding(memory: Tensor, width: int) -> Tensor:
    """`memory` with zeros in the columns from `width` on; usually there are none."""
    memory[:, width:].zero_()
    return memory


class GatherLaunch(NamedTuple):
    """How a gathering kernel is launched: its variant, shared memory, and the `group` of lanes per label."""

    variant: Variant
    shared_bytes: int
    group: int

    @property
    def rows(self) -> int:
        """Rows of the batch that a block holds."""
        return LANE_ROWS * self.group

    def row_blocks(self, stride: int) -> int:
        """Number of blocks along the rows of the batch."""
        return -(-stride // self.rows)

    def label_blocks(self, device: torch.device, num_labels: int, row_blocks: int = 1) -> int:
        """Number of blocks along the labels of a grid whose blocks all run at once."""
        tiles = -(-num_labels * self.group // self.variant.threads)
        return persistent_blocks(resident_blocks(self.variant, device, self.shared_bytes), tiles, row_blocks)


def gather_launch(entry: str, features_DB: Tensor, **macros: int) -> GatherLaunch:
    """How to launch the gathering kernel `entry` for these features.

    A block stores as many rows as fit in shared memory. If not even eight rows fit, rows are read from global
    memory, in practice from L2. A block that fills the shared memory of a multiprocessor alone gets twice the
    threads, since no second block hides its waiting times.
    """
    kernel, (num_features, stride) = KERNELS[entry], features_DB.shape
    device = features_DB.device
    group = lanes_of_label(stride)
    whole_batch, macros = group, {"FEATURE": FORMATS[features_DB.dtype], **macros}
    # Then fewer lanes, until the rows of a block fit in shared memory.
    while group:
        shared = LANE_ROWS * group * num_features * features_DB.element_size()
        variant = kernel.variant(GROUP=group, SHARED=1, **macros)
        limit = load(variant, device).shared
        if shared <= limit:
            if 2 * shared > limit and "THREADS" in dict(kernel.macros):
                # The wide variant may have more static shared memory, so its own limit decides.
                wide = kernel.variant(GROUP=group, SHARED=1, THREADS=WIDE_THREADS, **macros)
                variant = wide if shared <= load(wide, device).shared else variant
            return GatherLaunch(variant, shared, group)
        group //= 2
    return GatherLaunch(kernel.variant(GROUP=whole_batch, SHARED=0, **macros), 0, whole_batch)


def lanes_of_label(stride: int) -> int:
    """Lanes for a label: as the batch has rows for, up to a limit; every row reuses the weights read."""
    group = 1
    while group < MAX_GROUP and group * LANE_ROWS < stride:
        group *= 2
    return group


def resident_blocks(variant: Variant, device: torch.device, shared_bytes: int) -> int:
    """The number of blocks of a kernel that the card runs at once, in whole clusters."""
    if variant.cluster > 1:
        return variant.cluster * active_clusters(variant, device, shared_bytes)
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    return blocks_per_multiprocessor(variant, device, shared_bytes) * processors
