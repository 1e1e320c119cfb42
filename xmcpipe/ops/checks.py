"""Checks the arguments of the operators: shapes, dtypes, strides.

The values of tensors are never read, so the checks also run on fake tensors and never wait for a GPU. All
checks raise ValueError, which states the expected and the actual value.

B rows, D features, L labels, R rows of the index, K fan-in.
"""

import torch
from torch import Tensor

from xmcpipe.ops.layer import Positives, SparseLayer, Update
from xmcpipe.ops.losses.loss import loss_named
from xmcpipe.ops.rounding import FLOAT8
from xmcpipe.ops.topology import INDEX_DTYPE, MAX_FEATURES

FLOATS = (torch.bfloat16, torch.float16, torch.float32)
WEIGHTS = (FLOAT8, *FLOATS)  # dtypes of a layer's weights


def check_matrix(matrix: Tensor, name: str, width: int | None = None) -> None:
    """Check that `matrix` has two dimensions and, if `width` is given, that many columns."""
    if matrix.dim() != 2 or (width is not None and matrix.shape[1] != width):
        expected = "[B, D]" if width is None else f"[B, {width}]"
        raise ValueError(f"expected {name} {expected}, got {list(matrix.shape)}")


def check_index(weight_LK: Tensor, index_RK: Tensor, num_features: int, group: int = 1) -> None:
    """Check weight [L, K] and index [R, K], R = L / `group` rounded up, and that K <= D = `num_features`."""
    if group < 1:
        raise ValueError(f"expected group >= 1, got {group}")
    if weight_LK.dim() != 2 or index_RK.shape != (-(-len(weight_LK) // group), weight_LK.shape[1]):
        shapes = f"{list(weight_LK.shape)} and {list(index_RK.shape)}"
        expected = "index [L, K]" if group == 1 else f"index [L / {group}, K]"
        raise ValueError(f"expected weight [L, K] and {expected}, got {shapes}")
    if index_RK.dtype != INDEX_DTYPE:
        raise ValueError(f"expected index {INDEX_DTYPE}, got {index_RK.dtype}")
    if not weight_LK.shape[1] <= num_features <= MAX_FEATURES:
        raise ValueError(f"expected K <= D <= {MAX_FEATURES}, got K={weight_LK.shape[1]}, D={num_features}")


def check_layer(layer: SparseLayer, num_features: int) -> None:
    """Check a layer that an operator updates in place: contiguous tensors of floats of 8 to 32 bits."""
    weight, index, bias, momentum, group = layer
    check_index(weight, index, num_features, group)
    if weight.dtype not in WEIGHTS:
        raise ValueError(f"expected weight bfloat16, float16, float32 or float8_e4m3fn, got {weight.dtype}")
    if not (weight.is_contiguous() and index.is_contiguous()):
        raise ValueError("expected contiguous weight and index, since rows are written in place")
    if bias is not None and (
        bias.dtype != torch.float32 or bias.shape != weight.shape[:1] or not bias.is_contiguous()
    ):
        raise ValueError(
            f"expected contiguous bias float32 [{len(weight)}], got {bias.dtype} {list(bias.shape)}"
        )
    if momentum is None:
        return
    if momentum.shape != weight.shape or not momentum.is_contiguous():
        raise ValueError(f"expected contiguous momentum {list(weight.shape)}, got {list(momentum.shape)}")
    if momentum.dtype not in ({weight.dtype, torch.bfloat16} - {FLOAT8}):
        own = "" if weight.dtype == FLOAT8 else f"{weight.dtype} or "
        raise ValueError(f"expected momentum {own}bfloat16, got {momentum.dtype}")


def sum_dtype(*tensors: Tensor, weight: Tensor | None = None) -> torch.dtype:
    """The dtype of sums and results: float64 if all tensors are float64, otherwise float32.

    `weight` may have 8 bits. Raises ValueError for any other mix, and for dtypes that are not floats.
    """
    if weight is not None and weight.dtype != FLOAT8:
        tensors = (*tensors, weight)
    dtypes = {tensor.dtype for tensor in tensors}
    if dtypes == {torch.float64}:
        return torch.float64
    if not dtypes <= set(FLOATS):
        names = ", ".join(str(tensor.dtype) for tensor in tensors)
        raise ValueError(f"expected bfloat16, float16 or float32 each, or all float64, got {names}")
    return torch.float32


def check_chunk(label_chunk: int) -> None:
    """Check that a chunk has at least one label."""
    if label_chunk < 1:
        raise ValueError(f"expected label_chunk >= 1, got {label_chunk}")


def check_step(features: Tensor, layer: SparseLayer, positives: Positives, loss: str, update: Update) -> None:
    """Check the arguments of `ffi_step_`, without reading which labels are positive."""
    check_matrix(features, "features")
    check_layer(layer, features.shape[1])
    if features.dtype not in FLOATS:
        raise ValueError(f"expected features bfloat16, float16 or float32, got {features.dtype}")
    if [tensor.dim() for tensor in positives] != [1, 1] or positives.rows.shape != positives.labels.shape:
        shapes = " and ".join(str(list(tensor.shape)) for tensor in positives)
        raise ValueError(f"expected rows [P] and labels [P] of positives, got {shapes}")
    if any(tensor.dtype != torch.int64 for tensor in positives):
        dtypes = " and ".join(str(tensor.dtype) for tensor in positives)
        raise ValueError(f"expected int64 rows and labels of positives, got {dtypes}")
    scalars = {"scale": torch.float32, "rate": torch.float32, "step": torch.int64}
    for name, dtype in scalars.items():
        scalar: Tensor = getattr(update, name)
        if scalar.dtype != dtype or scalar.dim() != 0:
            raise ValueError(f"expected a scalar {name} of {dtype}, got {scalar.dtype} {list(scalar.shape)}")
    loss_named(loss)
    check_chunk(update.label_chunk)
