"""The fixed fan-in products of `ops.ffi.Products` on the CUDA kernels: scores and both gradients.

The caller has checked the arguments, and `rows.supports` accepts them.

B rows, D features, L labels, K fan-in.
"""

import torch
from torch import Tensor

from xmcpipe.ops.cuda.geometry import (
    FORMATS,
    TENSOR_CORES,
    card_of,
    gradient_chunk,
    gradient_geometry,
    gradient_rows,
    gradient_shared_bytes,
    sum_grid,
)
from xmcpipe.ops.cuda.rows import by_label, gather_launch, resident_blocks, transposed
from xmcpipe.ops.layer import SparseLayer
from xmcpipe.ops.nvrtc.kernel_table import KERNELS
from xmcpipe.ops.nvrtc.launch import Launch, launch


def scores(features_BD: Tensor, layer: SparseLayer, out_BL: Tensor) -> None:
    """Write the scores to `out_BL`, float32 [B, L]."""
    features_DB, device = transposed(features_BD), features_BD.device
    num_features, stride = features_DB.shape
    kernel = gather_launch("ffi_scores", features_DB, WEIGHT=FORMATS[layer.weight.dtype], LOSS=0)
    row_blocks = kernel.row_blocks(stride)
    grid = kernel.label_blocks(device, layer.num_labels, row_blocks), row_blocks
    launch(
        kernel.variant,
        device,
        grid,
        kernel.shared_bytes,
        features_DB=features_DB,
        weight_LK=layer.weight,
        index_LK=layer.index,
        out=out_BL,
        num_positives=0,
        begin=0,
        end=layer.num_labels,
        batch=len(features_BD),
        stride=stride,
        num_features=num_features,
        fan_in=layer.fan_in,
    )


def grad_weight(grad_BL: Tensor, features_BD: Tensor, out: SparseLayer) -> None:
    """Write dW to the weight of `out`, float32 [L, K]."""
    features_DB, (num_labels, fan_in) = transposed(features_BD), out.index.shape
    num_features, stride = features_DB.shape
    kernel, device = gather_launch("ffi_grad_weight", features_DB, UPDATE=0), features_DB.device
    chunk = gradient_chunk(len(grad_BL), num_labels, card_of(device))
    for gradient_LB, begin, end in by_label(grad_BL, chunk):
        # With UPDATE=0 the kernel ignores the numbers of an update, but a launch must pass each parameter.
        launch(
            kernel.variant,
            device,
            (kernel.label_blocks(device, end - begin),),
            kernel.shared_bytes,
            gradient_LB=gradient_LB,
            features_DB=features_DB,
            index_LK=out.index,
            dweight_LK=out.weight[begin:end],
            weight_decay=0.0,
            momentum_factor=0.0,
            seed=0,
            first_label=0,
            begin=begin,
            end=end,
            stride=stride,
            num_features=num_features,
            fan_in=fan_in,
        )


def grad_features(grad_BL: Tensor, layer: SparseLayer, out_BD: Tensor) -> None:
    """Write dX to `out_BD`, float32 [B, D]."""
    chunk = gradient_chunk(len(grad_BL), layer.num_labels, card_of(grad_BL.device))
    partial = FeatureGradient(layer, len(out_BD), out_BD.shape[1], chunk)
    for gradient_LB, begin, end in by_label(grad_BL, chunk):
        partial.add(gradient_LB, begin, end)
    partial.total(out_BD)


class FeatureGradient:
    """dX [B, D] of a layer, computed chunk by chunk of labels in one workspace, float32 [splits, B, D].

    `chunk` is the largest number of labels added at a time. Call `add` for each chunk, then `total`.
    """

    def __init__(self, layer: SparseLayer, num_rows: int, num_features: int, chunk: int) -> None:
        self._layer, self._num_rows, self._num_features = layer, num_rows, num_features
        device, weight_format = layer.weight.device, FORMATS[layer.weight.dtype]
        # Float32 weights promise float32's accuracy; tensor cores multiply only 16-bit formats.
        tensor = int(card_of(device).capability >= TENSOR_CORES and weight_format != 0)
        self._variant = KERNELS["ffi_grad_features"].variant(
            WEIGHT=weight_format, TENSOR=tensor, ROWS=gradient_rows(num_rows)
        )
        self._shared_bytes = gradient_shared_bytes(dict(self._variant.macros))
        resident = resident_blocks(self._variant, device, self._shared_bytes)
        self._grid = gradient_geometry(num_rows, num_features, chunk, resident)
        size = (self._grid.splits, num_rows, num_features)
        self._partial_SBD = layer.weight.new_empty(size, dtype=torch.float32)
        self._launch: Launch | None = None

    def add(self, gradient_LB: Tensor, begin: int, end: int) -> None:
        """Add labels [begin, end).

        `gradient_LB`, float32 [at least end - begin, stride], begins with the gradients of their scores. It
        is the same tensor, with other values, for all chunks.
        """
        if self._launch is not None:
            self._launch.start(begin=begin, end=end, add=1)
            return
        self._launch = Launch(
            self._variant,
            gradient_LB.device,
            self._grid,
            self._shared_bytes,
            gradient_LB=gradient_LB,
            weight_LK=self._layer.weight,
            index_LK=self._layer.index,
            partial_SBD=self._partial_SBD,
            begin=begin,
            end=end,
            batch=self._num_rows,
            stride=gradient_LB.shape[1],
            num_features=self._num_features,
            fan_in=self._layer.fan_in,
            add=0,  # the first chunk overwrites the workspace, which is uninitialised
        )
        self._launch.start()

    def total(self, out_BD: Tensor) -> None:
        """Write dX to `out_BD`, float32 [B, D]; splits are added in order, so the bits are reproducible."""
        launch(
            KERNELS["ffi_grad_features_sum"].variant(),
            out_BD.device,
            sum_grid(out_BD.numel()),
            0,
            partial_SBD=self._partial_SBD,
            out_BD=out_BD,
            splits=len(self._partial_SBD),
            count=out_BD.numel(),
        )
