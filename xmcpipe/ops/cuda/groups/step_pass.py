"""The fused classifier step for groups of labels by kernels/group_step.cu: one pass over the groups.

B rows, D features, L labels, K fan-in; S blocks, each with a partial dX^T; `stride` is B rounded up to a
multiple of eight.
"""

import torch
from torch import Tensor

from xmcpipe.ops.cuda.geometry import FORMATS, persistent_blocks
from xmcpipe.ops.cuda.groups.geometry import PassGeometry
from xmcpipe.ops.cuda.rows import resident_blocks, transposed
from xmcpipe.ops.cuda.step_arguments import loss_code, momentum_kind, positive_arguments, update_arguments
from xmcpipe.ops.cuda.step_pass import sum_blocks
from xmcpipe.ops.layer import Positives, SparseLayer, Update
from xmcpipe.ops.nvrtc.kernel_table import KERNELS
from xmcpipe.ops.nvrtc.launch import launch


def step_(
    geometry: PassGeometry,
    features_BD: Tensor,
    layer: SparseLayer,
    positives: Positives,
    loss: str,
    update: Update,
) -> tuple[Tensor, Tensor]:
    """See `ops.step.Step`; `geometry` is that of the shape and card."""
    features_DB, device = transposed(features_BD), features_BD.device
    num_features, stride = features_DB.shape
    momentum = momentum_kind(layer.weight, layer.momentum)
    macros = {"WEIGHT": FORMATS[layer.weight.dtype], "LOSS": loss_code(loss), "MOMENTUM": momentum}
    variant = KERNELS["group_step"].variant(**macros, **geometry.macros)
    blocks = persistent_blocks(resident_blocks(variant, device, geometry.shared_bytes), len(layer.index))
    partial_SDB = features_DB.new_empty(blocks, num_features, stride, dtype=torch.float32)
    partial_loss = partial_SDB.new_empty(blocks)
    launch(
        variant,
        device,
        (blocks,),
        geometry.shared_bytes,
        **update_arguments(layer, update),
        index_RK=layer.index,
        fan_in=layer.fan_in,
        begin=0,
        end=layer.num_labels,
        **positive_arguments(positives),
        features_DB=features_DB,
        batch=len(features_BD),
        stride=stride,
        num_features=num_features,
        partial_SDB=partial_SDB,
        partial_loss=partial_loss,
    )
    sums_DB = torch.empty_like(partial_SDB[0])
    loss_sum = sum_blocks(partial_SDB, partial_loss, sums_DB)
    return loss_sum, sums_DB[:, : len(features_BD)].T.contiguous()
