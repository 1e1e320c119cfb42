"""Chooses the implementation of an operator: CUDA kernels, numba's gathering kernels on a CPU, or torch.

On a CPU the choice depends on D / K. A gathered connection costs about as much as two dense ones in a BLAS
product of float32, so gathering wins where few of the features are read. Measured speed-up of a step by
gathering over one by dense tiles, on two Zen 5 cores with MKL and D = 768:

| K   | B   | float32 | bfloat16 weights |
|-----|-----|---------|------------------|
| 128 | 64  | 4.6     | 6.9              |
| 128 | 512 | 3.0     | 3.0              |
| 256 | 64  | 2.9     | 4.5              |
| 256 | 512 | 1.4     | 1.6              |
| 384 | 256 | 1.3     | 1.8              |

Other BLAS libraries come closer to the peak of their cores, so the gathering kernels run for K <= D / 3 only.
Those of groups are small dense products (`ops/cpu/groups.py`), and run for K <= D / 2. The CUDA kernels for
groups multiply 16-bit features and weights of one dtype, or bfloat16 features and weights of 8 bits; torch
computes the others by dense tiles.

Float64 serves checks only, and always runs in torch.
"""

from functools import cache

import torch
from torch import Tensor

from xmcpipe.ops.layer import SparseLayer
from xmcpipe.ops.rounding import FLOAT8

FEW_ROWS, FEW_VALUES = 4, 1 << 25  # rows, and L x D: torch takes less than a tenth of a second
MIN_FEATURES_PER_CONNECTION = 3  # smallest D / K at which gathering beats dense tiles on a CPU
MIN_FEATURES_OF_GROUPS = 2  # the same for groups of labels


def numba_preferred(features_BD: Tensor, layer: SparseLayer, sums: torch.dtype) -> bool:
    """Whether numba's kernels should compute a product or a step on these operands, with sums of this dtype.

    `features_BD` is any tensor [B, D] on the operands' device: features, or their gradient.
    """
    num_rows, num_features = features_BD.shape
    per_connection = MIN_FEATURES_PER_CONNECTION if layer.group == 1 else MIN_FEATURES_OF_GROUPS
    return (
        features_BD.device.type == "cpu"
        and sums == torch.float32
        and num_rows > 0
        and layer.num_labels > 0
        and 0 < layer.fan_in * per_connection <= num_features
        and (layer.weight.dtype != FLOAT8 or layer.fan_in % 2 == 0)  # numba sees two weights as one number
        and numba_installed()
    )


def too_few_for_numba(num_rows: int, num_values: int) -> bool:
    """Whether a prediction of these rows, by dense tiles of these values, is faster than `import numba`.

    It depends on shapes alone, so that a prediction has the same scores whatever came before it.
    """
    return direct() and num_rows <= FEW_ROWS and num_values <= FEW_VALUES


@cache
def numba_installed() -> bool:
    try:
        import numba  # noqa: F401
    except ImportError:
        return False
    return True


def direct() -> bool:
    """Whether to call the implementation of an operator itself, and not the operator.

    True in inference mode, where nothing traces or differentiates: the first call of an operator that is
    registered with torch imports torch's compiler, for two seconds, which a single prediction would wait for.
    """
    return torch.is_inference_mode_enabled()


def cuda_kernels_usable(
    index_RK: Tensor, *tensors: Tensor, group: int = 1, grad: Tensor | None = None
) -> bool:
    """Whether the CUDA kernels support these tensors; warns once if a GPU can't run kernels.

    `tensors` are features and weights, `grad` is the gradient of scores.
    """
    if index_RK.device.type != "cuda":
        return False
    from xmcpipe.ops.cuda import rows
    from xmcpipe.ops.cuda.groups import geometry
    from xmcpipe.ops.nvrtc.launch import usable

    if group > 1:
        supported = geometry.supports(index_RK, group, tensors, grad)
    else:
        supported = rows.supports(index_RK, *tensors, *(() if grad is None else (grad,)))
    return supported and usable(index_RK.device)
