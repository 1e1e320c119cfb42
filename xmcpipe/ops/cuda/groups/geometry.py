"""How the CUDA kernels for groups of labels are launched for a shape: what they support, chunks, workspaces.

Pure functions of shapes and of a `Card`, as in `cuda.geometry`.

B rows, D features, L labels, G labels of a group, K fan-in; `stride` is B rounded up to a multiple of eight.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from xmcpipe.ops.cuda.geometry import (
    CACHE_FRACTION,
    INDEX_BYTES,
    SUM_BYTES,
    TENSOR_CORES,
    Card,
    LayerShape,
    card_of,
    half_dtype,
    padded_rows,
)
from xmcpipe.ops.layer import whole_groups
from xmcpipe.ops.nvrtc.group_kernels import (
    GROUP_SIZES,
    ROWS,
    TILE,
    gradient_stage_bytes,
    step_bytes,
    step_static_bytes,
)
from xmcpipe.ops.nvrtc.kernel_table import KERNELS
from xmcpipe.ops.nvrtc.variant import Macros

HALVES = (torch.bfloat16, torch.float16)
HALF_BYTES = 2
CONNECTIONS = 16  # K is a multiple of it
GRADIENT_ROWS = (64, 32, 16)  # rows of the batch of a block of group_grad_features
GRADIENT_STATIC_BYTES = 1024  # upper bound of its static shared memory, and what the system reserves
# float16 gradients of a loss, by its `kernel_code`, are multiplied by this (kernels/include/gradients.cuh).
FLOAT16_GRADIENT_SCALES = {1: 64.0, 2: 16384.0}


def supports(index_RK: Tensor, group: int, halves: tuple[Tensor, ...], grad: Tensor | None = None) -> bool:
    """Whether the kernels support these operands on their device.

    `halves` are the features and weights, of one 16-bit dtype, or bfloat16 and weights of 8 bits; `grad` may
    be float32 too. K is a multiple of 16, and rows of index and weights start at multiples of 16 bytes.
    """
    fan_in = index_RK.shape[1]
    rows = [index_RK, *(tensor for tensor in halves if tensor.shape[1] == fan_in)]
    return (
        supports_sizes(group, fan_in, *(tensor.dtype for tensor in halves))
        and card_of(index_RK.device).capability >= TENSOR_CORES
        and index_RK.numel() > 0
        and all(tensor.numel() > 0 for tensor in halves)
        and (grad is None or (grad.numel() > 0 and grad.dtype in (torch.float32, *HALVES)))
        and all(tensor.is_contiguous() and tensor.data_ptr() % 16 == 0 for tensor in rows)
    )


def supports_sizes(group: int, fan_in: int, *dtypes: torch.dtype) -> bool:
    """Whether the kernels support groups of these sizes, and features and weights of these `dtypes`."""
    halves = {half_dtype(dtype) for dtype in dtypes}
    one_half = len(halves) == 1 and halves <= {*HALVES}
    return group in GROUP_SIZES and fan_in % CONNECTIONS == 0 and one_half


def row_blocks(stride: int) -> int:
    """Blocks of 64 rows of a batch."""
    return -(-stride // ROWS)


def tiles(num_labels: int) -> int:
    """Tiles of 64 labels."""
    return -(-num_labels // TILE)


class GradientGeometry(NamedTuple):
    """How dX^T [D, stride] is divided: a block sums `slice_features` features of `rows` rows."""

    rows: int
    slice_features: int
    shared_bytes: int

    def slices(self, num_features: int) -> int:
        """Slices of the features."""
        return -(-num_features // self.slice_features)

    def row_blocks(self, stride: int) -> int:
        """Blocks of rows."""
        return -(-stride // self.rows)


def gradient_geometry(
    stride: int, num_features: int, group: int, parts: int, shared_bytes: int
) -> GradientGeometry:
    """The most rows of the batch whose dX^T fits `shared_bytes` of a block; else as many features as fit.

    More rows read the weights less often.
    """
    for rows in GRADIENT_ROWS:
        stages = gradient_stage_bytes({"GROUP_SIZE": group, "PARTS": parts, "ROWS": rows})
        most = (shared_bytes - GRADIENT_STATIC_BYTES - stages) // (SUM_BYTES * rows)
        needed = rows == GRADIENT_ROWS[-1] or rows // 2 < stride  # half as many would not hold the batch
        if needed and (most >= num_features or rows == GRADIENT_ROWS[-1]):
            break
    features = -(-num_features // -(-num_features // most))  # slices of equal size
    return GradientGeometry(rows, features, SUM_BYTES * rows * features + stages)


class PassGeometry(NamedTuple):
    """A step in one pass over the groups: the macros that depend on the shape, and the shared memory."""

    macros: Macros
    shared_bytes: int


def one_pass(shape: LayerShape, group: int, card: Card) -> PassGeometry | None:
    """The geometry of the step in one pass, kernels/group_step.cu; None if the step is taken by chunks.

    It supports B <= 64, K <= 128 and groups of 16 or more, without words, if dX^T and a few groups fit in the
    shared memory of a block.
    """
    legal = dict(KERNELS["group_step"].macros)
    batches = [size for size in legal["BATCH"] if size >= shape.num_rows]
    slots = [size for size in legal["SLOTS"] if size >= shape.fan_in]
    if shape.word_bytes or group not in legal["GROUP_SIZE"] or not (batches and slots):
        return None
    for stages in legal["STAGES"]:  # the most first: copies are on their way for longer
        macros = {"GROUP_SIZE": group, "BATCH": min(batches), "SLOTS": min(slots), "STAGES": stages}
        shared_bytes = step_bytes(macros, shape.num_features)
        if shared_bytes + step_static_bytes(macros) <= card.shared_bytes:
            return PassGeometry(macros, shared_bytes)
    return None


def chunk_labels(shape: LayerShape, group: int, card: Card, label_chunk: int) -> int:
    """Labels of a chunk of a step, whole groups: as many as keep weights and gradients in L2."""
    stride = padded_rows(shape.num_rows)
    index = shape.fan_in * INDEX_BYTES // group
    # With words, their part of the scores and its gradient are float32.
    scores = stride * (HALF_BYTES + (SUM_BYTES if shape.word_bytes else 0))
    a_label = shape.fan_in * shape.weight_dtype.itemsize + index + scores + shape.word_bytes
    cached = max(int(CACHE_FRACTION * card.cache_bytes / a_label), TILE)
    return min(whole_groups(min(label_chunk, cached), group), shape.num_labels)


def workspace_bytes(shape: LayerShape, group: int, card: Card, label_chunk: int) -> int:
    """A bound of the workspace of a step: features, partial dX^T, and by chunks gradients of scores."""
    stride, chunk = padded_rows(shape.num_rows), chunk_labels(shape, group, card, label_chunk)
    number_bytes = HALF_BYTES + (SUM_BYTES if shape.word_bytes else 0)
    # Each block sums its part of a partial dX^T in shared memory, and all blocks run at once.
    sums = SUM_BYTES * shape.num_features * stride
    partial = max(card.multiprocessors * card.shared_bytes, sums)
    gradients = number_bytes * chunk * stride if one_pass(shape, group, card) is None else 0
    return shape.transposed_bytes + gradients + partial + sums
