"""How the CUDA kernels are launched for a shape: designs, chunks, blocks, shared memory, workspaces.

Pure functions of shapes and of a `Card`, so that the launching code and the memory planner, which has no
GPU, follow the same rules. How many blocks run at once is known only after a kernel is compiled, so that
number is the argument `resident`; upper bounds that hold without it are here too.

B rows, D features, L labels, K fan-in; `stride` is B rounded up to whole groups of eight rows.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from xmcpipe.ops.layer import SparseLayer
from xmcpipe.ops.nvrtc.macros import E4M3
from xmcpipe.ops.nvrtc.variant import Macros
from xmcpipe.ops.rounding import FLOAT8
from xmcpipe.ops.word_layer import StepWords

# Values of WEIGHT, FEATURE and MOMENT; only weights have 8 bits.
FORMATS = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2, FLOAT8: E4M3}
LANE_ROWS = 8  # rows of the batch that a lane of a gathering kernel holds
OCTET, MAX_FAN_IN = 8, 512  # K is a multiple of the one and at most the other
MAX_GROUP = 8  # most lanes that compute one label
SUM_THREADS, MAX_SUM_BLOCKS = 256, 2048  # limits of the kernels that add partial sums

TENSOR_CORES = (8, 0)  # compute capability from which on mma.sync takes bfloat16
CACHE_FRACTION = 0.5  # part of L2 that a chunk of labels may fill; the rest is for features and partial sums
CHUNK_MULTIPLE = 1024  # labels
# Labels that a multiprocessor gathers for at once, eight lanes each: one block of 512 threads, or two of 256.
WAVE_LABELS = 64
INDEX_BYTES, SUM_BYTES = 2, 4
WORD_BITS_BYTES = 3 << 16  # while the bits of the words of a batch are packed, by torch

# kernels/ffi_grad_features.cu
TILE_LABELS, SLICE_FEATURES, PADDING = 32, 256, 8
GRADIENT_ROWS = (16, 32, 64)  # rows of the batch of a block: values of ROWS
MAX_GRADIENT_BLOCKS = 4  # upper bound of the blocks that run at once on a multiprocessor


class Card(NamedTuple):
    """The properties of a GPU that decide how kernels are launched."""

    multiprocessors: int
    cache_bytes: int
    """Size of L2."""
    shared_bytes: int
    """Shared memory that a block may use, static and dynamic."""
    capability: tuple[int, int]


def card_of(device: torch.device) -> Card:
    """The properties of a device."""
    properties = torch.cuda.get_device_properties(device)
    return Card(
        multiprocessors=properties.multi_processor_count,
        cache_bytes=properties.L2_cache_size,
        shared_bytes=int(properties.shared_memory_per_block_optin),  # type: ignore[attr-defined]
        capability=torch.cuda.get_device_capability(device),
    )


class LayerShape(NamedTuple):
    """The sizes and dtypes of a step."""

    num_rows: int
    num_features: int
    num_labels: int
    fan_in: int
    feature_dtype: torch.dtype
    weight_dtype: torch.dtype
    word_bytes: int = 0
    """Bytes of the weights and indices of a label's words; 0 without words."""

    @staticmethod
    def of(features_BD: Tensor, layer: SparseLayer, words: StepWords | None = None) -> "LayerShape":
        """The shape of a step on these tensors."""
        num_rows, num_features = features_BD.shape
        dtypes = features_BD.dtype, layer.weight.dtype
        word_bytes = 0
        if words is not None:
            weight_LK = words.layer.weight
            word_bytes = weight_LK.shape[1] * (weight_LK.element_size() + INDEX_BYTES)
        return LayerShape(num_rows, num_features, layer.num_labels, layer.fan_in, *dtypes, word_bytes)

    @property
    def transposed_bytes(self) -> int:
        """Bytes of the transposed and padded features, [D, stride]."""
        return self.feature_dtype.itemsize * self.num_features * padded_rows(self.num_rows)


def supports_fan_in(fan_in: int) -> bool:
    """Whether the kernels, except those for groups, support labels that read this many features."""
    return fan_in % OCTET == 0 and fan_in <= MAX_FAN_IN


def half_dtype(weight_dtype: torch.dtype) -> torch.dtype:
    """The dtype in which tensor cores multiply weights, features and gradients of one 16-bit dtype.

    Weights of 8 bits are decoded to bfloat16.
    """
    return torch.bfloat16 if weight_dtype == FLOAT8 else weight_dtype


def padded_rows(num_rows: int) -> int:
    """`stride` for a batch of `num_rows` rows: the next multiple of LANE_ROWS."""
    return -(-num_rows // LANE_ROWS) * LANE_ROWS


def persistent_blocks(resident: int, tiles: int, siblings: int = 1) -> int:
    """Blocks along the labels of a grid whose blocks all run at once: no more than there are tiles.

    `resident` is the number of blocks that the card runs at once; each block along the labels has `siblings`
    along the other dimensions.
    """
    return max(1, min(tiles, resident // siblings))


def sum_grid(count: int) -> tuple[int]:
    """The grid of a kernel that adds the partial sums of `count` numbers."""
    return (min(-(-count // SUM_THREADS), MAX_SUM_BLOCKS),)


# Chunks: kernels/ffi_scores.cu, ffi_grad_features.cu, ffi_grad_weight.cu


def chunk_labels(shape: LayerShape, card: Card, label_chunk: int, multiple: int = CHUNK_MULTIPLE) -> int:
    """Labels of a chunk: as many as keep weights, indices and gradients in L2, in whole multiples."""
    weights = shape.fan_in * (shape.weight_dtype.itemsize + INDEX_BYTES) + shape.word_bytes
    cached = int(CACHE_FRACTION * card.cache_bytes / (weights + SUM_BYTES * padded_rows(shape.num_rows)))
    fitting = _filled_waves(max(cached // multiple * multiple, CHUNK_MULTIPLE), card)
    return min(label_chunk, fitting, shape.num_labels)


def _filled_waves(num_labels: int, card: Card) -> int:
    """The number of labels without a last wave of blocks that would be less than half full.

    A wave takes as long for few labels as for many: 9,216 labels at 8,448 a wave take the time of 16,896.
    """
    wave = card.multiprocessors * WAVE_LABELS
    rest = num_labels % wave
    return num_labels if num_labels < wave or 2 * rest >= wave else num_labels - rest


def gradient_chunk(num_rows: int, num_labels: int, card: Card) -> int:
    """Labels whose gradients of the scores, float32 by label, fill the part of L2 that a chunk may fill."""
    cached = int(CACHE_FRACTION * card.cache_bytes / (SUM_BYTES * padded_rows(num_rows)))
    return min(max(cached // CHUNK_MULTIPLE * CHUNK_MULTIPLE, CHUNK_MULTIPLE), num_labels)


def sums_before_update(shape: LayerShape, rows_of_block: int = LANE_ROWS * MAX_GROUP) -> bool:
    """Whether dW of a chunk needs a workspace: a batch of several blocks of rows is summed up first."""
    return padded_rows(shape.num_rows) > rows_of_block


def chunk_workspace_bytes(shape: LayerShape, card: Card, label_chunk: int) -> int:
    """A bound of the workspace of a step by chunks.

    It holds the transposed features, gradients [chunk, stride], sums of dW [chunk, K] for a large batch, and
    partial dX. The chunk is not rounded down to a multiple, so that the bound covers every rounding.
    """
    chunk = chunk_labels(shape, card, label_chunk, multiple=1)
    sums = shape.fan_in if sums_before_update(shape) else 0
    partial = max_gradient_bytes(shape.num_rows, shape.num_features, card)
    return shape.transposed_bytes + SUM_BYTES * chunk * (padded_rows(shape.num_rows) + sums) + partial


def word_workspace_bytes(num_words: int, num_rows: int) -> int:
    """Workspace of the kernels of words: padded values of the batch's words, and bits of all words."""
    return SUM_BYTES * num_words * padded_rows(num_rows) + WORD_BITS_BYTES


class GradientGeometry(NamedTuple):
    """How the work on dX [B, D] is divided: slices of features, splits of the labels, blocks of rows."""

    slices: int
    splits: int
    row_blocks: int


def gradient_rows(num_rows: int) -> int:
    """Rows of a block of ffi_grad_features for a batch of `num_rows`."""
    return next((rows for rows in GRADIENT_ROWS if num_rows <= rows), GRADIENT_ROWS[-1])


def gradient_geometry(num_rows: int, num_features: int, num_labels: int, resident: int) -> GradientGeometry:
    """The grid of ffi_grad_features for `num_labels` labels at a time; each split has a partial dX.

    `resident` is the number of blocks that the card runs at once.
    """
    slices, row_blocks = -(-num_features // SLICE_FEATURES), -(-num_rows // gradient_rows(num_rows))
    splits = persistent_blocks(resident, -(-num_labels // TILE_LABELS), slices * row_blocks)
    return GradientGeometry(slices, splits, row_blocks)


def gradient_shared_bytes(macros: Macros) -> int:
    """Dynamic shared memory of ffi_grad_features in bytes: a tile of weights and a tile of gradients."""
    if not macros["TENSOR"]:  # both tiles are float32, without padding
        return 4 * TILE_LABELS * (SLICE_FEATURES + macros["ROWS"])
    # Tensor cores multiply bfloat16: a float16 or float32 weight is split into two bfloat16 parts.
    weights = (1 if macros["WEIGHT"] in (1, E4M3) else 2) * (SLICE_FEATURES + PADDING)
    return 2 * TILE_LABELS * (weights + macros["GRADIENT_PARTS"] * (macros["ROWS"] + PADDING))


def max_gradient_bytes(num_rows: int, num_features: int, card: Card) -> int:
    """Upper bound of the partial sums of dX, in bytes: one slice of features and rows per resident block."""
    # splits <= resident / (slices x row blocks), and slices and row blocks together cover B x D.
    resident = card.multiprocessors * MAX_GRADIENT_BLOCKS
    return SUM_BYTES * max(resident * GRADIENT_ROWS[-1] * SLICE_FEATURES, num_rows * num_features)
