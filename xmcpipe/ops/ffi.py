"""The fixed fan-in layer (FFI) as PyTorch operators: schema, checks, fake and autograd.

B rows, D features, L labels, K fan-in. `weight` [L, K] float and `index` [L, K] uint16 are ELLPACK rows: the
K indices of a row are distinct and in [0, D). Features and weights may be of different float types; sums and
results are float32 (float64 where both are). No dense [L, D] tensor is made. `ops/dispatch.py` says which
implementation runs on a CPU; elsewhere it is torch's, unless a kernel is registered for the device.
"""

from types import ModuleType

import torch
from torch import Tensor

from xmcpipe.ops import ffi_torch
from xmcpipe.ops.dispatch import by_kernel, on_cuda
from xmcpipe.ops.topology import INDEX_DTYPE, MAX_FEATURES

FLOATS = (torch.bfloat16, torch.float16, torch.float32)


def check_index(weight_LK: Tensor, index_LK: Tensor, num_features: int) -> None:
    """Raise ValueError unless the sparse rows fit the number of features; values of `index` are not read."""
    if weight_LK.dim() != 2 or index_LK.shape != weight_LK.shape:
        raise ValueError(
            f"weight [L, K] and index [L, K] are wanted, got {list(weight_LK.shape)}, {list(index_LK.shape)}"
        )
    if index_LK.dtype != INDEX_DTYPE:
        raise ValueError(f"index must be {INDEX_DTYPE}, got {index_LK.dtype}")
    if not weight_LK.shape[1] <= num_features <= MAX_FEATURES:
        raise ValueError(f"K <= D <= {MAX_FEATURES} is wanted, got K={weight_LK.shape[1]}, D={num_features}")


def check_floats(*tensors: Tensor) -> torch.dtype:
    """The dtype of sums and results: float64 where all tensors are, else float32.

    Raises ValueError for any other mix, and for types that are not floats.
    """
    dtypes = {tensor.dtype for tensor in tensors}
    if dtypes == {torch.float64}:
        return torch.float64
    if not dtypes <= set(FLOATS):
        names = ", ".join(str(tensor.dtype) for tensor in tensors)
        raise ValueError(f"each of bfloat16, float16 or float32, or all float64, is wanted, got {names}")
    return torch.float32


def check_rows(rows_BD: Tensor, name: str, width: int | None = None) -> None:
    """Raise ValueError unless the tensor is a matrix, `width` columns wide if that is given."""
    if rows_BD.dim() != 2 or (width is not None and rows_BD.shape[1] != width):
        wanted = "[B, D]" if width is None else f"[B, {width}]"
        raise ValueError(f"{name} {wanted} is wanted, got {list(rows_BD.shape)}")


def _empty_scores(features: Tensor, weight: Tensor, index: Tensor) -> Tensor:
    """Unwritten scores, the arguments checked; so the other two."""
    check_rows(features, "features")
    check_index(weight, index, features.shape[1])
    return features.new_empty(len(features), len(weight), dtype=check_floats(features, weight))


def _empty_grad_features(grad: Tensor, weight: Tensor, index: Tensor, num_features: int) -> Tensor:
    check_index(weight, index, num_features)
    check_rows(grad, "grad", len(weight))
    return grad.new_empty(len(grad), num_features, dtype=check_floats(grad, weight))


def _empty_grad_weight(grad: Tensor, features: Tensor, index: Tensor) -> Tensor:
    check_rows(features, "features")
    check_index(index, index, features.shape[1])
    check_rows(grad, "grad", len(index))
    if len(grad) != len(features):
        raise ValueError(f"grad has {len(grad)} rows and features {len(features)}")
    return features.new_empty(index.shape, dtype=check_floats(grad, features))


def _products(
    result: Tensor, num_rows: int, index_LK: Tensor, num_features: int, *operands: Tensor
) -> ModuleType:
    """The implementation of the three products that is to fill `result` from `operands`."""
    num_labels, fan_in = index_LK.shape
    if on_cuda(index_LK, *operands):
        from xmcpipe.ops.cuda import ffi as ffi_cuda

        return ffi_cuda
    if by_kernel(result.device, result.dtype, num_rows, num_labels, fan_in, num_features):
        from xmcpipe.ops.cpu import ffi as ffi_numba  # numba takes a second to import

        return ffi_numba
    return ffi_torch


@torch.library.custom_op("xmcpipe::ffi_scores", mutates_args=())
def ffi_scores(features: Tensor, weight: Tensor, index: Tensor) -> Tensor:
    """score[b, l] = sum_k weight[l, k] * x[b, index[l, k]], float32 [B, L].

    `features` [B, D]; `weight` [L, K]; `index` uint16 [L, K]. Raises ValueError for other shapes or dtypes.
    """
    result = _empty_scores(features, weight, index)
    products = _products(result, len(features), index, features.shape[1], features, weight)
    products.scores(features, weight, index, result)
    return result


@torch.library.custom_op("xmcpipe::ffi_grad_features", mutates_args=())
def ffi_grad_features(grad: Tensor, weight: Tensor, index: Tensor, num_features: int) -> Tensor:
    """dX[b, :] = sum_l grad[b, l] * weight[l, :] scattered at index: float32 [B, D].

    `grad` [B, L], the gradient of the scores; `weight` [L, K]; `index` uint16 [L, K].
    """
    result = _empty_grad_features(grad, weight, index, num_features)
    products = _products(result, len(grad), index, num_features, grad, weight)
    products.grad_features(grad, weight, index, result)
    return result


@torch.library.custom_op("xmcpipe::ffi_grad_weight", mutates_args=())
def ffi_grad_weight(grad: Tensor, features: Tensor, index: Tensor) -> Tensor:
    """dW[l, k] = sum_b grad[b, l] * x[b, index[l, k]]: float32 [L, K].

    `grad` [B, L], the gradient of the scores; `features` [B, D]; `index` uint16 [L, K].
    """
    result = _empty_grad_weight(grad, features, index)
    products = _products(result, len(features), index, features.shape[1], grad, features)
    products.grad_weight(grad, features, index, result)
    return result


def ffi_backward(
    grad_BL: Tensor, features_BD: Tensor, weight_LK: Tensor, index_LK: Tensor
) -> tuple[Tensor, Tensor]:
    """Both gradients of `ffi_scores`, dX [B, D] and dW [L, K], from that of its scores, [B, L]."""
    grad_features: Tensor = ffi_grad_features(grad_BL, weight_LK, index_LK, features_BD.shape[1])
    grad_weight: Tensor = ffi_grad_weight(grad_BL, features_BD, index_LK)
    return grad_features, grad_weight


def _keep_inputs(
    ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, ...], output: Tensor
) -> None:
    ctx.save_for_backward(*inputs)


def _gradient(ctx: torch.autograd.function.FunctionCtx, grad_BL: Tensor) -> tuple[Tensor, Tensor, None]:
    features, weight, index = ctx.saved_tensors  # type: ignore[attr-defined]
    grad_features, grad_weight = ffi_backward(grad_BL, features, weight, index)
    return grad_features.to(features.dtype), grad_weight.to(weight.dtype), None


for _op, _fake in (
    (ffi_scores, _empty_scores),
    (ffi_grad_features, _empty_grad_features),
    (ffi_grad_weight, _empty_grad_weight),
):
    _op.register_fake(_fake)
ffi_scores.register_autograd(_gradient, setup_context=_keep_inputs)
