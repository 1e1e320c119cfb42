"""The fixed fan-in layer (FFI) as PyTorch operators: schemas, fakes and autograd.

B rows, D features, L labels, G labels of a group, R groups, K fan-in. `weight` [L, K] float and `index`
[R, K] uint16 are ELLPACK rows: the K indices of a row are distinct and in [0, D). Label l reads the features
of row l // G; with G = 1, the default, each label reads its own, and R = L. Features and weights may have
different float dtypes; sums and results are float32 (float64 if both operands are). No dense [L, D] tensor
exists. `ops/dispatch.py` chooses the implementation.
"""

from typing import Any, Protocol

import torch
from torch import Tensor

from xmcpipe.ops import ffi_torch
from xmcpipe.ops.checks import check_index, check_matrix, sum_dtype
from xmcpipe.ops.dispatch import cuda_kernels_usable, direct, numba_preferred, too_few_for_numba
from xmcpipe.ops.layer import SparseLayer


class Products(Protocol):
    """The three products of a backend. Each fills its `out`, which has the dtype of the sums."""

    def scores(self, features_BD: Tensor, layer: SparseLayer, out_BL: Tensor) -> None:
        """score[b, l] = sum_k weight[l, k] * x[b, index[l // G, k]]; the bias is not added."""

    def grad_features(self, grad_BL: Tensor, layer: SparseLayer, out_BD: Tensor) -> None:
        """dX[b, :] = sum_l grad[b, l] * weight[l, :] scattered at index."""

    def grad_weight(self, grad_BL: Tensor, features_BD: Tensor, out: SparseLayer) -> None:
        """dW[l, k] = sum_b grad[b, l] * x[b, index[l // G, k]] fills the weight of `out`."""


def _empty_scores(features: Tensor, weight: Tensor, index: Tensor, group: int = 1) -> Tensor:
    """Check the arguments of `ffi_scores` and allocate its result."""
    check_matrix(features, "features")
    check_index(weight, index, features.shape[1], group)
    return features.new_empty(len(features), len(weight), dtype=sum_dtype(features, weight=weight))


def _empty_grad_features(
    grad: Tensor, weight: Tensor, index: Tensor, num_features: int, group: int = 1
) -> Tensor:
    """Check the arguments of `ffi_grad_features` and allocate its result."""
    check_index(weight, index, num_features, group)
    check_matrix(grad, "grad", len(weight))
    return grad.new_empty(len(grad), num_features, dtype=sum_dtype(grad, weight=weight))


def _empty_grad_weight(grad: Tensor, features: Tensor, index: Tensor, group: int = 1) -> Tensor:
    """Check the arguments of `ffi_grad_weight` and allocate its result."""
    check_matrix(features, "features")
    check_matrix(grad, "grad", len(index) if group == 1 else None)
    if len(grad) != len(features):
        raise ValueError(f"expected as many rows of grad as of features, got {len(grad)} and {len(features)}")
    result = features.new_empty(grad.shape[1], index.shape[1], dtype=sum_dtype(grad, features))
    check_index(result, index, features.shape[1], group)
    return result


def _products(
    rows_BD: Tensor, layer: SparseLayer, sums: torch.dtype, *operands: Tensor, grad: Tensor | None = None
) -> Products:
    """The backend for a product of features or weights, `operands`, and a gradient of scores `grad`, if any.

    `rows_BD` is the features or their gradient.
    """
    if cuda_kernels_usable(layer.index, *operands, group=layer.group, grad=grad):
        import xmcpipe.ops.cuda.ffi
        import xmcpipe.ops.cuda.groups.ffi

        return xmcpipe.ops.cuda.ffi if layer.group == 1 else xmcpipe.ops.cuda.groups.ffi
    few = too_few_for_numba(len(rows_BD), layer.num_labels * rows_BD.shape[1])
    if not few and numba_preferred(rows_BD, layer, sums):
        import xmcpipe.ops.cpu.ffi  # here, since numba takes a second to import
        import xmcpipe.ops.cpu.grouped_ffi

        return xmcpipe.ops.cpu.ffi if layer.group == 1 else xmcpipe.ops.cpu.grouped_ffi
    return ffi_torch


@torch.library.custom_op("xmcpipe::ffi_scores", mutates_args=())
def ffi_scores(features: Tensor, weight: Tensor, index: Tensor, group: int = 1) -> Tensor:
    """score[b, l] = sum_k weight[l, k] * x[b, index[l // G, k]], float32 [B, L].

    `features` [B, D]; `weight` [L, K]; `index` uint16 [R, K]; `group` G. Raises ValueError for other shapes
    or dtypes.
    """
    return _scores(features, weight, index, group)


def scores(features: Tensor, weight: Tensor, index: Tensor, group: int = 1) -> Tensor:
    """`ffi_scores`; in inference mode without torch's registry of operators (see `ops.dispatch.direct`)."""
    result: Tensor = (_scores if direct() else ffi_scores)(features, weight, index, group)
    return result


def _scores(features: Tensor, weight: Tensor, index: Tensor, group: int) -> Tensor:
    result, layer = (
        _empty_scores(features, weight, index, group),
        SparseLayer(weight, index, group=group),
    )
    _products(features, layer, result.dtype, features, weight).scores(features, layer, result)
    return result


@torch.library.custom_op("xmcpipe::ffi_grad_features", mutates_args=())
def ffi_grad_features(
    grad: Tensor, weight: Tensor, index: Tensor, num_features: int, group: int = 1
) -> Tensor:
    """dX[b, :] = sum_l grad[b, l] * weight[l, :] scattered at index: float32 [B, D].

    `grad` [B, L], the gradient of the scores; `weight` [L, K]; `index` uint16 [R, K]; `group` G. Raises
    ValueError for other shapes or dtypes.
    """
    result = _empty_grad_features(grad, weight, index, num_features, group)
    layer = SparseLayer(weight, index, group=group)
    _products(result, layer, result.dtype, weight, grad=grad).grad_features(grad, layer, result)
    return result


@torch.library.custom_op("xmcpipe::ffi_grad_weight", mutates_args=())
def ffi_grad_weight(grad: Tensor, features: Tensor, index: Tensor, group: int = 1) -> Tensor:
    """dW[l, k] = sum_b grad[b, l] * x[b, index[l // G, k]]: float32 [L, K].

    `grad` [B, L], the gradient of the scores; `features` [B, D]; `index` uint16 [R, K]; `group` G. Raises
    ValueError for other shapes or dtypes.
    """
    result = _empty_grad_weight(grad, features, index, group)
    out = SparseLayer(result, index, group=group)
    _products(features, out, result.dtype, features, grad=grad).grad_weight(grad, features, out)
    return result


def ffi_backward(
    grad_BL: Tensor, features_BD: Tensor, weight_LK: Tensor, index_RK: Tensor, group: int = 1
) -> tuple[Tensor, Tensor]:
    """Both gradients of `ffi_scores`, dX [B, D] and dW [L, K], from the gradient of the scores [B, L]."""
    grad_features: Tensor = ffi_grad_features(grad_BL, weight_LK, index_RK, features_BD.shape[1], group)
    grad_weight: Tensor = ffi_grad_weight(grad_BL, features_BD, index_RK, group)
    return grad_features, grad_weight


# dX and dW are operators of their own, so that torch.compile sees them and each backend provides them.
def _save_inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:3])
    ctx.group = inputs[3]


def _input_gradients(ctx: Any, grad_BL: Tensor) -> tuple[Tensor, Tensor, None, None]:
    features, weight, index = ctx.saved_tensors
    grad_features, grad_weight = ffi_backward(grad_BL, features, weight, index, ctx.group)
    return grad_features.to(features.dtype), grad_weight.to(weight.dtype), None, None


for _op, _fake in (
    (ffi_scores, _empty_scores),
    (ffi_grad_features, _empty_grad_features),
    (ffi_grad_weight, _empty_grad_weight),
):
    _op.register_fake(_fake)
ffi_scores.register_autograd(_input_gradients, setup_context=_save_inputs)
