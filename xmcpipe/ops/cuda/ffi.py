"""The fixed fan-in layer on kernels/: scores and both gradients, as ops/ffi.py defines them.

B rows, D features, L labels, K fan-in. Arguments are checked, and such as `cuda_rows.takes`.
"""

import torch
from torch import Tensor

from xmcpipe.ops.cuda.rows import FORMATS, LANE_ROWS, by_label, gathering, persistent, sum_grid, transposed
from xmcpipe.ops.nvrtc.launch import launch
from xmcpipe.ops.nvrtc.table import KERNELS
from xmcpipe.ops.nvrtc.variant import Variant

# Of kernels/ffi_grad_features.cu.
TILE_LABELS, SLICE_FEATURES, PADDING, GRADIENT_PARTS = 32, 256, 8, 2


def scores(features_BD: Tensor, weight_LK: Tensor, index_LK: Tensor, out_BL: Tensor) -> None:
    """Into float32 [B, L]."""
    features_DB, (num_labels, fan_in) = transposed(features_BD), weight_LK.shape
    (num_features, stride), batch = features_DB.shape, len(features_BD)
    variant, shared, group = gathering("ffi_scores", features_DB, WEIGHT=FORMATS[weight_LK.dtype], LOSS=0)
    row_blocks = -(-stride // (LANE_ROWS * group))
    blocks = persistent(
        variant, features_DB.device, shared, -(-num_labels * group // variant.threads), row_blocks
    )
    launch(
        variant, features_DB.device, (blocks, row_blocks), variant.threads, shared,
        features_DB, weight_LK, index_LK, None, out_BL, None, None, None, 0,
        0, num_labels, batch, stride, num_features, fan_in,
    )  # fmt: skip


def grad_weight(grad_BL: Tensor, features_BD: Tensor, index_LK: Tensor, out_LK: Tensor) -> None:
    """Into dW float32 [L, K]."""
    features_DB, grad_LB, (num_labels, fan_in) = transposed(features_BD), by_label(grad_BL), index_LK.shape
    num_features, stride = features_DB.shape
    variant, shared, group = gathering("ffi_grad_weight", features_DB, UPDATE=0)
    blocks = persistent(variant, features_DB.device, shared, -(-num_labels * group // variant.threads))
    launch(
        variant, features_DB.device, (blocks,), variant.threads, shared,
        grad_LB, features_DB, index_LK, out_LK, None, None, None, None, None, None,
        0.0, 0.0, 0, 0, 0, num_labels, stride, num_features, fan_in,
    )  # fmt: skip


def grad_features(grad_BL: Tensor, weight_LK: Tensor, index_LK: Tensor, out_BD: Tensor) -> None:
    """Into dX float32 [B, D]."""
    partial = FeatureGradient(weight_LK, index_LK, *out_BD.shape)
    partial.add(by_label(grad_BL), 0, len(weight_LK))
    partial.total(out_BD)


class FeatureGradient:
    """dX [B, D] of a layer, chunk of labels by chunk; the chunks share one workspace [splits, B, D] float32.

    `chunk` is the number of labels added at a time, all of them by default.
    """

    def __init__(
        self, weight_LK: Tensor, index_LK: Tensor, batch: int, num_features: int, chunk: int = 0
    ) -> None:
        self._layer, self._batch, self._num_features = (weight_LK, index_LK), batch, num_features
        device, weight_format = weight_LK.device, FORMATS[weight_LK.dtype]
        # Float32 weights are a promise of float32's accuracy; tensor cores take what has 16 bits anyway.
        tensor = int(torch.cuda.get_device_capability(device) >= (8, 0) and weight_format != 0)
        rows = 16 if batch <= 16 else 32 if batch <= 32 else 64
        macros = {"WEIGHT": weight_format, "TENSOR": tensor, "ROWS": rows}
        self._variant = KERNELS["ffi_grad_features"].variant(**macros)
        self._shared = _tile_bytes(self._variant)
        slices, row_blocks = -(-num_features // SLICE_FEATURES), -(-batch // rows)
        tiles = -(-(chunk or len(weight_LK)) // TILE_LABELS)
        splits = persistent(self._variant, device, self._shared, tiles, slices * row_blocks)
        self._grid = (slices, splits, row_blocks)
        self._partial_SBD = weight_LK.new_empty(splits, batch, num_features, dtype=torch.float32)
        self._begun = False

    def add(self, gradient_LB: Tensor, begin: int, end: int) -> None:
        """Add the labels [begin, end), whose gradients are gradient_LB float32 [end - begin, stride]."""
        weight_LK, index_LK = self._layer
        launch(
            self._variant, weight_LK.device, self._grid, self._variant.threads, self._shared,
            gradient_LB, weight_LK, index_LK, self._partial_SBD, begin, end,
            self._batch, gradient_LB.shape[1], self._num_features, weight_LK.shape[1], int(self._begun),
        )  # fmt: skip
        self._begun = True

    def total(self, out_BD: Tensor) -> None:
        """Into dX float32 [B, D]: the splits added up in their order."""
        count, variant = out_BD.numel(), KERNELS["ffi_grad_features_sum"].variant()
        launch(
            variant, out_BD.device, sum_grid(count), variant.threads, 0,
            self._partial_SBD, out_BD, len(self._partial_SBD), count,
        )  # fmt: skip


def _tile_bytes(variant: Variant) -> int:
    """The dynamic shared memory of ffi_grad_features: a tile of weights, and of gradients beside it."""
    macros = dict(variant.macros)
    if not macros["TENSOR"]:
        return 4 * TILE_LABELS * (SLICE_FEATURES + macros["ROWS"])
    weights = (1 if macros["WEIGHT"] == 1 else 2) * (SLICE_FEATURES + PADDING)
    return 2 * TILE_LABELS * (weights + macros["GRADIENT_PARTS"] * (macros["ROWS"] + PADDING))
