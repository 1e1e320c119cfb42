"""Which implementation runs: on a GPU the CUDA kernels, on a CPU the gathering kernels of numba, or, on
either, dense tiles and BLAS in torch.

A gathered connection costs about as much as two dense ones in a BLAS product of float32, so the kernels win
where few of the features are read. Measured on two Zen 5 cores with MKL, D = 768, how many times slower a
step by tiles is, in float32 and with weights of bfloat16: K = 128: 4.6 and 6.9 (B = 64), 3.0 and 3.0 (B =
512); K = 256: 2.9 and 4.5, 1.4 and 1.6; K = 384, B = 256: 1.3 and 1.8. Other BLAS come nearer to the peak
of their cores, so the kernels run for K <= D / 3. Float64 is for checking and stays with torch.
"""

from functools import cache

import torch
from torch import Tensor

FEATURES_A_PLACE = 3  # D / K from which on the kernels win


def by_kernel(
    device: torch.device, sums: torch.dtype, num_rows: int, num_labels: int, fan_in: int, num_features: int
) -> bool:
    """Whether numba's kernels compute on `device`, with sums of the dtype `sums`."""
    return (
        device.type == "cpu"
        and sums == torch.float32
        and num_rows > 0
        and num_labels > 0
        and 0 < fan_in * FEATURES_A_PLACE <= num_features
        and _numba_is_there()
    )


@cache
def _numba_is_there() -> bool:
    try:
        import numba  # noqa: F401
    except ImportError:
        return False
    return True


def on_cuda(index_LK: Tensor, *tensors: Tensor) -> bool:
    """Whether the CUDA kernels compute with these tensors; a warning says, once, where they can't be had."""
    if index_LK.device.type != "cuda":
        return False
    from xmcpipe.ops.cuda.rows import takes
    from xmcpipe.ops.nvrtc.launch import usable

    return takes(index_LK, *tensors) and usable(index_LK.device)
