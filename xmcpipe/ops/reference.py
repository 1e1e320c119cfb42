"""The fixed fan-in layer as plain dense maths: the reference that tests compare every implementation with.

It accepts any float dtype, and rounds nothing, updates nothing in place and uses no chunks.

B rows, D features, L labels, G labels of a group, R groups, K fan-in.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from xmcpipe.ops.layer import SparseLayer, label_rows


def dense_weight(weight_LK: Tensor, index_RK: Tensor, num_features: int, group: int = 1) -> Tensor:
    """The layer's weights as the equivalent dense matrix, [L, D]."""
    index_LK = label_rows(index_RK, group, len(weight_LK))
    dense_LD = torch.zeros(len(weight_LK), num_features, dtype=weight_LK.dtype, device=weight_LK.device)
    return dense_LD.scatter(1, index_LK, weight_LK)


def ffi_scores(features_BD: Tensor, weight_LK: Tensor, index_RK: Tensor, group: int = 1) -> Tensor:
    """score[b, l] = sum_k weight[l, k] * x[b, index[l // G, k]], [B, L]."""
    return features_BD @ dense_weight(weight_LK, index_RK, features_BD.shape[1], group).T


def ffi_backward(
    grad_BL: Tensor, features_BD: Tensor, weight_LK: Tensor, index_RK: Tensor, group: int = 1
) -> tuple[Tensor, Tensor]:
    """The gradients dX [B, D] and dW [L, K] of `ffi_scores`."""
    grad_features = grad_BL @ dense_weight(weight_LK, index_RK, features_BD.shape[1], group)
    index_LK = label_rows(index_RK, group, len(weight_LK))
    return grad_features, (grad_BL.T @ features_BD).gather(1, index_LK)


def squared_hinge(scores_BL: Tensor, targets_BL: Tensor) -> tuple[Tensor, Tensor]:
    """The sum of max(0, 1 - t * s)^2 and its gradient; t = +1 where the target is 1, -1 where it is 0."""
    sign_BL = 2.0 * targets_BL - 1.0
    slack_BL = (1.0 - sign_BL * scores_BL).clamp(min=0.0)
    return slack_BL.square().sum(), -2.0 * sign_BL * slack_BL


def bce(scores_BL: Tensor, targets_BL: Tensor) -> tuple[Tensor, Tensor]:
    """The sum of the binary cross entropy with logits, and its gradient; targets are 0 or 1."""
    value = F.binary_cross_entropy_with_logits(scores_BL, targets_BL, reduction="sum")
    return value, torch.sigmoid(scores_BL) - targets_BL


LOSSES = {"squared_hinge": squared_hinge, "bce": bce}


class StepResult(NamedTuple):
    """The results of a step, and the new state of the layer."""

    loss_sum: Tensor
    grad_features: Tensor
    weight: Tensor
    bias: Tensor
    momentum: Tensor


class Sgd(NamedTuple):
    """The numbers of an update; see `ops.layer.Update`."""

    scale: float
    rate: float
    weight_decay: float
    momentum_factor: float


def ffi_step(features_BD: Tensor, layer: SparseLayer, targets_BL: Tensor, loss: str, sgd: Sgd) -> StepResult:
    """One step of SGD on a layer that has a bias and a momentum; targets are 0 or 1."""
    weight_LK, index_RK, bias_L, momentum_LK, group = layer
    assert bias_L is not None
    assert momentum_LK is not None
    scores_BL = ffi_scores(features_BD, weight_LK, index_RK, group) + bias_L
    loss_sum, grad_BL = LOSSES[loss](scores_BL, targets_BL)
    grad_features, grad_weight = ffi_backward(grad_BL, features_BD, weight_LK, index_RK, group)
    change_LK = sgd.scale * grad_weight + sgd.weight_decay * weight_LK
    momentum_LK = sgd.momentum_factor * momentum_LK + change_LK
    bias_L = bias_L - sgd.rate * sgd.scale * grad_BL.sum(0)
    return StepResult(loss_sum, grad_features, weight_LK - sgd.rate * momentum_LK, bias_L, momentum_LK)
