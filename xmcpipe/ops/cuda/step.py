"""The fused classifier step on kernels/: which of two designs takes a layer.

One pass over the labels (`step_pass_cuda`) computes each product densely on tensor cores, whatever K is;
chunks (`step_chunks_cuda`) gather, at a cost that goes with K, and take any shape and format. Counted in
kernels/README.md, for B = 64 and D = 768 they meet at K = 64.
"""

from torch import Tensor

from xmcpipe.ops.cuda import step_chunks as step_chunks_cuda
from xmcpipe.ops.cuda import step_pass as step_pass_cuda
from xmcpipe.ops.step_torch import Update

FEATURES_A_PLACE = 12  # D / K up to which one pass is faster


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
    """As `ffi_step_`, whose arguments are checked and such as `cuda_rows.takes`."""
    dense_enough = index_LK.shape[1] * FEATURES_A_PLACE >= features_BD.shape[1]
    one_pass = dense_enough and step_pass_cuda.takes(features_BD, weight_LK)
    step_of_design = step_pass_cuda.step_ if one_pass else step_chunks_cuda.step_
    return step_of_design(features_BD, weight_LK, index_LK, bias_L, momentum_LK, positives, loss, update)
