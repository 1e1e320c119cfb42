"""The fused classifier step in one pass, dense tiles of labels on tensor cores.

kernels/ffi_step.cu takes batches of up to 64 rows, a tile of labels a block; kernels/ffi_step_cluster.cu
larger ones, a tile of labels a cluster of blocks; kernels/wgmma/ffi_step_wgmma.cu up to 128, on sm_90 alone.
`pass_geometries`, `cluster_geometries` and `warpgroup_geometries` in `pass_geometry.py` say for which shapes
and formats.

B rows, D features, L labels, K fan-in; S blocks or clusters, each with a partial dX.
"""

import torch
from torch import Tensor

from xmcpipe.ops.cuda.geometry import LayerShape, sum_grid
from xmcpipe.ops.cuda.pass_geometry import PassGeometry
from xmcpipe.ops.cuda.rows import resident_blocks, transposed
from xmcpipe.ops.cuda.step_arguments import loss_code, momentum_kind, positive_arguments, update_arguments
from xmcpipe.ops.layer import Positives, SparseLayer, Update
from xmcpipe.ops.nvrtc.kernel_table import KERNELS
from xmcpipe.ops.nvrtc.launch import launch


def step_(
    features_BD: Tensor,
    layer: SparseLayer,
    geometry: PassGeometry,
    positives: Positives,
    loss: str,
    update: Update,
) -> tuple[Tensor, Tensor]:
    """See `ops.step.Step`; `geometry` is one of this shape and device.

    Gradients of the scores are rounded to 16 bits stochastically.
    """
    shape, device = LayerShape.of(features_BD, layer), features_BD.device
    variant = KERNELS[geometry.entry].variant(
        **geometry.macros, LOSS=loss_code(loss), MOMENTUM=momentum_kind(layer.weight, layer.momentum)
    )
    partials = geometry.partials(shape, resident_blocks(variant, device, geometry.shared_bytes))
    features_DB, out_BD = transposed(features_BD), torch.empty_like(features_BD, dtype=torch.float32)
    partial_SBD, partial_loss = out_BD.new_empty(partials, *out_BD.shape), out_BD.new_empty(partials)
    launch(
        variant,
        device,
        (partials * geometry.cluster,),
        geometry.shared_bytes,
        features_DB=features_DB,
        index_LK=layer.index,
        partial_SBD=partial_SBD,
        partial_loss=partial_loss,
        **positive_arguments(positives),
        **update_arguments(layer, update),
        begin=0,
        end=shape.num_labels,
        batch=shape.num_rows,
        stride=features_DB.shape[1],
        num_features=shape.num_features,
        fan_in=shape.fan_in,
    )
    return sum_blocks(partial_SBD, partial_loss, out_BD), out_BD


def sum_blocks(partial_SBD: Tensor, partial_loss: Tensor, out_BD: Tensor) -> Tensor:
    """Add the partial sums of all blocks in order: write dX to `out_BD`, return the loss sum float32 []."""
    loss_sum = out_BD.new_empty(())
    launch(
        KERNELS["ffi_step_sum"].variant(),
        out_BD.device,
        sum_grid(out_BD.numel()),
        0,
        partial_SBD=partial_SBD,
        partial_loss=partial_loss,
        out_BD=out_BD,
        loss_sum=loss_sum,
        blocks=len(partial_loss),
        count=out_BD.numel(),
    )
    return loss_sum
