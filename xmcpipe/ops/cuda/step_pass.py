"""The fused classifier step by kernels/ffi_step.cu: one pass, tiles of labels dense on tensor cores.

For 16-bit weights and features, B up to 64, D up to 768, from sm_80 on, where x and a tile fit shared memory.

B rows, D features, L labels, K fan-in.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from xmcpipe.ops.cuda.rows import FORMATS, momentum_kind, persistent, sum_grid, transposed
from xmcpipe.ops.nvrtc.launch import launch, shared_limit
from xmcpipe.ops.nvrtc.table import KERNELS, LOSSES, STEP_STATIC_BYTES, step_bytes
from xmcpipe.ops.nvrtc.variant import Macros
from xmcpipe.ops.step_torch import Update

TENSOR_CORES = (8, 0)  # compute capability from which on mma.sync takes bfloat16


def takes(features_BD: Tensor, weight_LK: Tensor) -> bool:
    """Whether the kernel is for these shapes and formats, on this device."""
    return next(_fitting(features_BD, weight_LK), None) is not None


def step_(
    features_BD: Tensor,
    weight_LK: Tensor,
    index_LK: Tensor,
    bias_L: Tensor | None,
    momentum_LK: Tensor | None,
    positives: tuple[Tensor, Tensor],
    loss: str,
    update: Update,
) -> tuple[Tensor, Tensor]:
    """As `ffi_step_`, where `takes` says so."""
    (batch, num_features), (num_labels, fan_in), device = features_BD.shape, weight_LK.shape, weight_LK.device
    macros = next(_fitting(features_BD, weight_LK))
    variant = KERNELS["ffi_step"].variant(
        **macros, LOSS=LOSSES[loss], MOMENTUM=momentum_kind(weight_LK, momentum_LK)
    )
    shared = step_bytes(dict(variant.macros))
    blocks = persistent(variant, device, shared, -(-num_labels // macros["TILE"]))
    features_DB, out_BD = (
        transposed(features_BD),
        features_BD.new_empty(batch, num_features, dtype=torch.float32),
    )
    partial_SBD, partial_loss = out_BD.new_empty(blocks, batch, num_features), out_BD.new_empty(blocks)
    launch(
        variant, device, (blocks,), variant.threads, shared,
        features_DB, weight_LK, index_LK, bias_L, momentum_LK, partial_SBD, partial_loss,
        *positives, len(positives[0]), update.scale, update.rate, update.step, update.weight_decay,
        update.momentum_factor, update.seed, update.first_label, 0, num_labels,
        batch, features_DB.shape[1], num_features, fan_in,
    )  # fmt: skip
    return _sum(partial_SBD, partial_loss, out_BD), out_BD


def _fitting(features_BD: Tensor, weight_LK: Tensor) -> Iterator[Macros]:
    """What of the kernel's macros goes by the shapes, the best first; none where it isn't for them."""
    legal, device = dict(KERNELS["ffi_step"].macros), weight_LK.device
    batch, num_features = features_BD.shape
    batches = [size for size in legal["BATCH"] if size >= batch]
    widths = [size for size in legal["FEATURES"] if size >= num_features]
    weight_format = FORMATS[weight_LK.dtype]
    if (
        features_BD.dtype != weight_LK.dtype
        or weight_format not in legal["WEIGHT"]
        or not (batches and widths)
        or torch.cuda.get_device_capability(device) < TENSOR_CORES
    ):
        return
    for tile in legal["TILE"]:
        macros = {"WEIGHT": weight_format, "BATCH": min(batches), "FEATURES": min(widths), "TILE": tile}
        needed = step_bytes(dict(KERNELS["ffi_step"].variant(**macros).macros)) + STEP_STATIC_BYTES
        if needed <= shared_limit(device):
            yield macros


def _sum(partial_SBD: Tensor, partial_loss: Tensor, out_BD: Tensor) -> Tensor:
    """out_BD: dX of all blocks, added up in their order. Returns the sum of the losses, float32 []."""
    loss_sum, variant = out_BD.new_empty(()), KERNELS["ffi_step_sum"].variant()
    launch(
        variant, out_BD.device, sum_grid(out_BD.numel()), variant.threads, 0,
        partial_SBD, partial_loss, out_BD, loss_sum, len(partial_loss), out_BD.numel(),
    )  # fmt: skip
    return loss_sum
