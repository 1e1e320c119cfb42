"""The fixed fan-in layer (FFI) as PyTorch operators: schema, checks, fake, autograd, and an implementation in
torch.

B rows, D features, L labels, K fan-in. `weight` [L, K] float and `index` [L, K] uint16 are ELLPACK rows: the
K indices of a row are distinct and in [0, D). No dense [L, D] tensor is made: the backward pass scatters a
tile of labels at a time into one reused dense tile and uses the BLAS product ("load as sparse, compute as
dense").
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from xmcpipe.ops.topology import INDEX_DTYPE, MAX_FEATURES

TILE_LABELS = 4096


def check(features_BD: Tensor, weight_LK: Tensor, index_LK: Tensor) -> None:
    """Raise ValueError unless shapes and dtypes are those of the layer.

    Values of `index` are not read.
    """
    if features_BD.dim() != 2 or weight_LK.dim() != 2 or index_LK.shape != weight_LK.shape:
        raise ValueError(
            f"features [B, D], weight [L, K], index [L, K] are wanted, "
            f"got {list(features_BD.shape)}, {list(weight_LK.shape)}, {list(index_LK.shape)}"
        )
    if index_LK.dtype != INDEX_DTYPE:
        raise ValueError(f"index must be {INDEX_DTYPE}, got {index_LK.dtype}")
    if not features_BD.is_floating_point() or features_BD.dtype != weight_LK.dtype:
        raise ValueError(
            f"features and weight must be of one float dtype, got {features_BD.dtype}, {weight_LK.dtype}"
        )
    if not weight_LK.shape[1] <= features_BD.shape[1] <= MAX_FEATURES:
        raise ValueError(
            f"K <= D <= {MAX_FEATURES} is wanted, got K={weight_LK.shape[1]}, D={features_BD.shape[1]}"
        )


@torch.library.custom_op("xmcpipe::ffi_scores", mutates_args=())
def ffi_scores(features_BD: Tensor, weight_LK: Tensor, index_LK: Tensor) -> Tensor:
    """score[b, l] = sum_k weight[l, k] * x[b, index[l, k]], [B, L] in the dtype of the features."""
    check(features_BD, weight_LK, index_LK)
    if len(weight_LK) == 0 or len(features_BD) == 0:
        return features_BD.new_zeros(len(features_BD), len(weight_LK))
    # A bag a label over the rows of x^T: reads the K features of each, and copies nothing of size L x D.
    return F.embedding_bag(
        index_LK.to(torch.int32), features_BD.T.contiguous(), per_sample_weights=weight_LK, mode="sum"
    ).T.contiguous()


@torch.library.custom_op("xmcpipe::ffi_backward", mutates_args=())
def ffi_backward(
    grad_BL: Tensor, features_BD: Tensor, weight_LK: Tensor, index_LK: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradients dX [B, D] and dW [L, K] of `ffi_scores`, from that of its scores, [B, L].

    All are in the dtype of the features.
    """
    check(features_BD, weight_LK, index_LK)
    num_labels, num_features = len(weight_LK), features_BD.shape[1]
    grad_features = torch.zeros_like(features_BD)
    grad_weight = torch.empty_like(weight_LK)
    tile = weight_LK.new_empty(min(TILE_LABELS, num_labels), num_features)
    for begin in range(0, num_labels, TILE_LABELS):
        end = min(begin + TILE_LABELS, num_labels)
        tile_TD, index_TK = tile[: end - begin], index_LK[begin:end].to(torch.int64)
        grad_BT = grad_BL[:, begin:end]
        tile_TD.zero_().scatter_(1, index_TK, weight_LK[begin:end])
        grad_features.addmm_(grad_BT, tile_TD)
        torch.mm(grad_BT.T, features_BD, out=tile_TD)
        torch.gather(tile_TD, 1, index_TK, out=grad_weight[begin:end])
    return grad_features, grad_weight


@ffi_scores.register_fake
def _(features_BD: Tensor, weight_LK: Tensor, index_LK: Tensor) -> Tensor:
    check(features_BD, weight_LK, index_LK)
    return features_BD.new_empty(features_BD.shape[0], weight_LK.shape[0])


@ffi_backward.register_fake
def _(grad_BL: Tensor, features_BD: Tensor, weight_LK: Tensor, index_LK: Tensor) -> tuple[Tensor, Tensor]:
    check(features_BD, weight_LK, index_LK)
    return torch.empty_like(features_BD), torch.empty_like(weight_LK)


def _keep_inputs(
    ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, ...], output: Tensor
) -> None:
    ctx.save_for_backward(*inputs)


def _gradient(ctx: torch.autograd.function.FunctionCtx, grad_BL: Tensor) -> tuple[Tensor, Tensor, None]:
    features_BD, weight_LK, index_LK = ctx.saved_tensors  # type: ignore[attr-defined]
    grad_features, grad_weight = ffi_backward(grad_BL, features_BD, weight_LK, index_LK)
    return grad_features, grad_weight, None


ffi_scores.register_autograd(_gradient, setup_context=_keep_inputs)
