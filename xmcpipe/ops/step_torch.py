"""The fused classifier step in plain torch, on any device: tiles of labels as dense, products by BLAS.

B rows, D features, L labels, K fan-in, P positives, T labels of a tile.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from xmcpipe.ops.ffi_torch import DenseTile, tiles
from xmcpipe.ops.losses import IN_PLACE, Loss
from xmcpipe.ops.rounding import random_bits, round_stochastically


class Update(NamedTuple):
    """How the weights are updated; see `ffi_step_`."""

    scale: Tensor
    rate: Tensor
    step: Tensor
    weight_decay: float
    momentum_factor: float
    seed: int
    first_label: int
    label_chunk: int


def step_(
    features_BD: Tensor,
    weight_LK: Tensor,
    index_LK: Tensor,
    bias_L: Tensor | None,
    momentum_LK: Tensor | None,
    positives: tuple[Tensor, Tensor],
    loss: Loss,
    update: Update,
) -> tuple[Tensor, Tensor]:
    """As `ffi_step_`, whose arguments are checked."""
    features_BD = features_BD.float()
    num_labels, num_features = len(weight_LK), features_BD.shape[1]
    grad_features = torch.zeros_like(features_BD)
    loss_sum = features_BD.new_zeros(())
    tile = DenseTile(features_BD, num_labels, num_features, update.label_chunk)
    bounds = list(tiles(num_labels, num_features, update.label_chunk))
    edges = torch.tensor([begin for begin, _ in bounds] + [num_labels], device=weight_LK.device)
    first_P = torch.searchsorted(positives[1], edges).tolist()
    for number, (begin, end) in enumerate(bounds):
        index_TK = index_LK[begin:end].to(torch.int64)
        tile_TD = tile.fill(weight_LK[begin:end], index_TK)
        scores_BT = features_BD @ tile_TD.T
        if bias_L is not None:
            scores_BT += bias_L[begin:end]
        mine = slice(first_P[number], first_P[number + 1])
        loss_sum += IN_PLACE[loss](scores_BT, positives[0][mine], positives[1][mine] - begin)
        grad_features.addmm_(scores_BT, tile_TD)
        grad_TK = tile.product(scores_BT, features_BD).gather(1, index_TK)
        if bias_L is not None:
            bias_L[begin:end] -= update.rate * update.scale * scores_BT.sum(0)
        momentum_TK = None if momentum_LK is None else momentum_LK[begin:end]
        update_(weight_LK[begin:end], grad_TK, momentum_TK, update, update.first_label + begin)
    return loss_sum, grad_features


def update_(
    weight_TK: Tensor, grad_TK: Tensor, momentum_TK: Tensor | None, update: Update, first_label: int
) -> None:
    """SGD as torch.optim's, in place, from the unscaled float32 `grad_TK`, which is overwritten."""
    step_TK = grad_TK.mul_(update.scale).add_(weight_TK, alpha=update.weight_decay)
    if momentum_TK is not None:
        step_TK.add_(momentum_TK, alpha=update.momentum_factor)
        momentum_TK.copy_(step_TK)
    new_TK = weight_TK.float().sub_(step_TK.mul_(update.rate))
    if weight_TK.dtype != torch.float32:
        labels_T = torch.arange(len(weight_TK), device=weight_TK.device) + first_label
        random_TK = random_bits(update.seed, update.step, labels_T, weight_TK.shape[1])
        new_TK = round_stochastically(new_TK, random_TK, weight_TK.dtype)
    weight_TK.copy_(new_TK)
