"""The fixed fan-in layer as plain dense maths: what every implementation is held against.

Any float dtype.
"""

import torch
from torch import Tensor


def dense_weight(weight_LK: Tensor, index_LK: Tensor, num_features: int) -> Tensor:
    """The layer's weights as the dense matrix they stand for, [L, D]."""
    dense_LD = torch.zeros(len(weight_LK), num_features, dtype=weight_LK.dtype, device=weight_LK.device)
    return dense_LD.scatter(1, index_LK.to(torch.int64), weight_LK)


def ffi_scores(features_BD: Tensor, weight_LK: Tensor, index_LK: Tensor) -> Tensor:
    """score[b, l] = sum_k weight[l, k] * x[b, index[l, k]], [B, L]."""
    return features_BD @ dense_weight(weight_LK, index_LK, features_BD.shape[1]).T


def ffi_backward(
    grad_BL: Tensor, features_BD: Tensor, weight_LK: Tensor, index_LK: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradients dX [B, D] and dW [L, K] of `ffi_scores`."""
    grad_features = grad_BL @ dense_weight(weight_LK, index_LK, features_BD.shape[1])
    return grad_features, (grad_BL.T @ features_BD).gather(1, index_LK.to(torch.int64))
