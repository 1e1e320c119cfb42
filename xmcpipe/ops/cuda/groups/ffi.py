"""The products of `ops.ffi.Products` for groups of labels, on the CUDA kernels: scores and both gradients.

The caller has checked the arguments, and `geometry.supports` accepts them.

B rows, D features, L labels, R groups, K fan-in, P parts of a gradient, S splits of the labels; `stride` is
B rounded up to a multiple of eight.
"""

import torch
from torch import Tensor

from xmcpipe.ops.cuda.geometry import FORMATS, half_dtype, persistent_blocks, sum_grid
from xmcpipe.ops.cuda.groups.geometry import gradient_geometry, row_blocks, tiles
from xmcpipe.ops.cuda.rows import padded, resident_blocks, transposed
from xmcpipe.ops.layer import SparseLayer
from xmcpipe.ops.nvrtc.group_kernels import score_bytes, weight_bytes
from xmcpipe.ops.nvrtc.kernel_table import KERNELS
from xmcpipe.ops.nvrtc.launch import launch, shared_limit
from xmcpipe.ops.nvrtc.variant import Variant

PARTS = 2  # 16-bit parts of a gradient from outside: about 16 bits of precision
FLOAT16_EXPONENT = 15  # the largest gradient is scaled to below 2^15, half of what float16 holds


def scores(features_BD: Tensor, layer: SparseLayer, out_BL: Tensor) -> None:
    """Write the scores to `out_BL`, float32 [B, L]."""
    features_DB, device = transposed(features_BD), features_BD.device
    stride = features_DB.shape[1]
    macros = {"WEIGHT": FORMATS[layer.weight.dtype], "GROUP_SIZE": layer.group, "LOSS": 0}
    variant = KERNELS["group_scores"].variant(**macros)
    shared, blocks_of_rows = score_bytes(dict(variant.macros)), row_blocks(stride)
    resident = resident_blocks(variant, device, shared)
    launch(
        variant,
        device,
        (persistent_blocks(resident, tiles(layer.num_labels), blocks_of_rows), blocks_of_rows),
        shared,
        features_DB=features_DB,
        weight_LK=layer.weight,
        index_RK=layer.index,
        out_BL=out_BL,
        num_positives=0,
        seed=0,
        first_label=0,
        begin=0,
        end=layer.num_labels,
        batch=len(features_BD),
        stride=stride,
        fan_in=layer.fan_in,
    )


def grad_features(grad_BL: Tensor, layer: SparseLayer, out_BD: Tensor) -> None:
    """Write dX to `out_BD`, float32 [B, D]."""
    gradient_PLB, factor = gradient_parts(grad_BL, half_dtype(layer.weight.dtype))
    partial = FeatureGradient(layer, len(out_BD), out_BD.shape[1], layer.num_labels, PARTS)
    partial.add(gradient_PLB, 0, layer.num_labels)
    partial.total(out_BD, factor)


def grad_weight(grad_BL: Tensor, features_BD: Tensor, out: SparseLayer) -> None:
    """Write dW to the weight of `out`, float32 [L, K]."""
    features_DB, device = transposed(features_BD), features_BD.device
    gradient_PLB, factor = gradient_parts(grad_BL, features_BD.dtype)
    variant, shared = weight_variant(features_BD.dtype, out.group, UPDATE=0, PARTS=PARTS)
    # With UPDATE=0 the kernel ignores the numbers of an update, but a launch must pass each parameter.
    launch(
        variant,
        device,
        (persistent_blocks(resident_blocks(variant, device, shared), tiles(out.num_labels)),),
        shared,
        gradient_PLB=gradient_PLB,
        features_DB=features_DB,
        index_RK=out.index,
        dweight_LK=out.weight,
        weight_decay=0.0,
        momentum_factor=0.0,
        factor=1.0,
        seed=0,
        first_label=0,
        begin=0,
        end=out.num_labels,
        stride=features_DB.shape[1],
        fan_in=out.fan_in,
    )
    if factor is not None:
        out.weight.mul_(factor)


def weight_variant(dtype: torch.dtype, group: int, **macros: int) -> tuple[Variant, int]:
    """The variant of group_grad_weight, and its dynamic shared memory."""
    variant = KERNELS["group_grad_weight"].variant(WEIGHT=FORMATS[dtype], GROUP_SIZE=group, **macros)
    return variant, weight_bytes(dict(variant.macros))


def gradient_parts(grad_BL: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    """The gradient of the scores as a high and a low part, [2, L, stride] of a 16-bit dtype.

    float16 has a small range: the gradient is multiplied by a power of two that depends on its largest
    number. The second result is what a product must be multiplied by, float32 [], or None for 1.
    """
    gradient_LB, factor = padded(grad_BL.T.float()), None
    if dtype == torch.float16:
        exponent = FLOAT16_EXPONENT - torch.frexp(gradient_LB.abs().amax()).exponent
        one = gradient_LB.new_ones(())
        exponent = exponent.clamp(-126, 126)  # so that both powers are numbers
        gradient_LB, factor = gradient_LB * torch.ldexp(one, exponent), torch.ldexp(one, -exponent)
    gradient_PLB = torch.empty(PARTS, *gradient_LB.shape, dtype=dtype, device=grad_BL.device)
    for part_LB in gradient_PLB:
        part_LB.copy_(gradient_LB)
        gradient_LB -= part_LB
    return gradient_PLB, factor


class FeatureGradient:
    """dX [B, D] of a layer, computed chunk by chunk of labels in one workspace, float32 [S, D, stride].

    `chunk` is the largest number of labels added at a time, from the first of a group on. Call `add` for
    each chunk, then `total`.
    """

    def __init__(
        self, layer: SparseLayer, num_rows: int, num_features: int, chunk: int, parts: int = 1
    ) -> None:
        self._layer, self._num_features = layer, num_features
        device, stride = layer.weight.device, -(-num_rows // 8) * 8
        geometry = gradient_geometry(stride, num_features, layer.group, parts, shared_limit(device))
        self._variant = KERNELS["group_grad_features"].variant(
            WEIGHT=FORMATS[layer.weight.dtype], GROUP_SIZE=layer.group, ROWS=geometry.rows, PARTS=parts
        )
        self._geometry = geometry
        resident = resident_blocks(self._variant, device, geometry.shared_bytes)
        slices, blocks_of_rows = geometry.slices(num_features), geometry.row_blocks(stride)
        groups = -(-chunk // layer.group)
        splits = persistent_blocks(resident, groups, slices * blocks_of_rows)
        self._grid = slices, splits, blocks_of_rows
        self._partial_SDB = layer.weight.new_empty(splits, num_features, stride, dtype=torch.float32)
        self._add = 0  # 0: the kernel overwrites the workspace, which is uninitialised; 1: it adds

    def add(self, gradient_PLB: Tensor, begin: int, end: int) -> None:
        """Add labels [begin, end) of gradients [P, end - begin, stride]."""
        launch(
            self._variant,
            gradient_PLB.device,
            self._grid,
            self._geometry.shared_bytes,
            gradient_PLB=gradient_PLB,
            weight_LK=self._layer.weight,
            index_RK=self._layer.index,
            partial_SDB=self._partial_SDB,
            begin=begin,
            end=end,
            stride=self._partial_SDB.shape[2],
            num_features=self._num_features,
            fan_in=self._layer.fan_in,
            slice=self._geometry.slice_features,
            add=self._add,
        )
        self._add = 1

    def total(self, out_BD: Tensor, factor: Tensor | float | None = None) -> None:
        """Write dX, multiplied by `factor`, to `out_BD`; splits are added in order: the bits repeat."""
        sums_DB = torch.empty_like(self._partial_SDB[0])
        launch(
            KERNELS["ffi_grad_features_sum"].variant(),
            out_BD.device,
            sum_grid(sums_DB.numel()),
            0,
            partial_SBD=self._partial_SDB,
            out_BD=sums_DB,
            splits=len(self._partial_SDB),
            count=sums_DB.numel(),
        )
        out_BD.copy_(sums_DB[:, : len(out_BD)].T)
        if factor is not None:
            out_BD.mul_(factor)
