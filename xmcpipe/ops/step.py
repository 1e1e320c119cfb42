"""The fused classifier step as a PyTorch operator: scores, loss, dX, and the update of weights and bias.

A label's score, the gradient of its loss, its share of dX, its dW and its update need nothing of any other
label. So neither a gradient nor scores of more than one chunk exist, and no optimizer keeps any: the weights
are read once and written once. The idea is fused linear cross entropy's, taken on to the optimizer (LOMO, Lv
et al., 2023; Renee, Jain et al., MLSys 2023).

B rows, D features, L labels, K fan-in, P positives.
"""

from types import ModuleType

import torch
from torch import Tensor

from xmcpipe.ops import step_torch
from xmcpipe.ops.dispatch import by_kernel, on_cuda
from xmcpipe.ops.ffi import FLOATS, check_index, check_rows
from xmcpipe.ops.losses import IN_PLACE


def check(
    features: Tensor,
    weight: Tensor,
    index: Tensor,
    bias: Tensor | None,
    momentum: Tensor | None,
    positives: tuple[Tensor, Tensor],
    scalars: tuple[Tensor, Tensor, Tensor],
    loss: str,
    label_chunk: int,
) -> None:
    """Raise ValueError unless the arguments are those of a step; the tensors' values are not read."""
    check_rows(features, "features")
    check_index(weight, index, features.shape[1])
    if features.dtype not in FLOATS or weight.dtype not in FLOATS:
        raise ValueError(
            f"each of bfloat16, float16 or float32 is wanted, got features {features.dtype}, weight "
            f"{weight.dtype}"
        )
    if not (weight.is_contiguous() and index.is_contiguous()):
        raise ValueError("weight and index must be contiguous: the step writes rows of them in place")
    _check_state(weight, bias, momentum)
    if [tensor.dim() for tensor in positives] != [1, 1] or positives[0].shape != positives[1].shape:
        shapes = ", ".join(str(list(tensor.shape)) for tensor in positives)
        raise ValueError(f"as many rows as labels of positives are wanted, got {shapes}")
    if any(tensor.dtype != torch.int64 for tensor in positives):
        raise ValueError("positives must be int64")
    if [(s.dtype, s.dim()) for s in scalars] != [(torch.float32, 0), (torch.float32, 0), (torch.int64, 0)]:
        raise ValueError("scale and rate float32, and step int64, are wanted, scalars all")
    if loss not in IN_PLACE:
        raise ValueError(f"loss {' or '.join(IN_PLACE)} is wanted, got {loss!r}")
    if label_chunk < 1:
        raise ValueError(f"label_chunk of at least 1 is wanted, got {label_chunk}")


def _check_state(weight: Tensor, bias: Tensor | None, momentum: Tensor | None) -> None:
    if bias is not None and (
        bias.dtype != torch.float32 or bias.shape != weight.shape[:1] or not bias.is_contiguous()
    ):
        raise ValueError(f"bias float32 [{len(weight)}] is wanted, got {bias.dtype} {list(bias.shape)}")
    if momentum is not None:
        if momentum.shape != weight.shape or not momentum.is_contiguous():
            raise ValueError(f"momentum {list(weight.shape)} is wanted, got {list(momentum.shape)}")
        if momentum.dtype not in (weight.dtype, torch.bfloat16):
            raise ValueError(f"momentum {weight.dtype} or bfloat16 is wanted, got {momentum.dtype}")


def _implementation(features: Tensor, weight: Tensor, index: Tensor) -> ModuleType:
    num_labels, fan_in = index.shape
    if on_cuda(index, features, weight):
        from xmcpipe.ops.cuda import step as step_cuda

        return step_cuda
    if by_kernel(features.device, torch.float32, len(features), num_labels, fan_in, features.shape[1]):
        from xmcpipe.ops.cpu import step as step_numba  # numba takes a second to import

        return step_numba
    return step_torch


@torch.library.custom_op("xmcpipe::ffi_step_", mutates_args=("weight", "bias", "momentum"))
def ffi_step_(
    features: Tensor,
    weight: Tensor,
    index: Tensor,
    bias: Tensor | None,
    momentum: Tensor | None,
    positive_rows: Tensor,
    positive_labels: Tensor,
    scale: Tensor,
    rate: Tensor,
    step: Tensor,
    loss: str,
    weight_decay: float,
    momentum_factor: float,
    seed: int,
    first_label: int,
    label_chunk: int,
) -> tuple[Tensor, Tensor]:
    """One training step of the layer, in place; returns (loss_sum float32 [], grad_features float32 [B, D]).

    `features` [B, D], `weight` [L, K]: bfloat16, float16 or float32 each; `index` uint16 [L, K]; `bias`
    float32 [L]; `momentum` [L, K] of the weight's dtype or bfloat16. `positive_rows`, `positive_labels`
    int64 [P]: distinct pairs, labels ascending and local, in [0, L). `scale` and `rate` float32 and `step`
    int64: scalars on the device of the weights.

    loss_sum is the sum over B x L and grad_features its gradient (at the old weights), both unscaled. The
    update is that of torch.optim.SGD for the loss times `scale`: d = scale * dW + weight_decay * w, through
    momentum if there is any, w -= rate * d; stored by stochastic rounding (a function of `seed`, `step`, the
    label's own number `first_label` + l and the place) where the weight has 16 bits. The bias has neither
    decay nor momentum. No more than `label_chunk` labels are scored at a time, which changes nothing but the
    order of float sums. Raises ValueError for other shapes or dtypes.
    """
    positives, scalars = (positive_rows, positive_labels), (scale, rate, step)
    check(features, weight, index, bias, momentum, positives, scalars, loss, label_chunk)
    update = step_torch.Update(
        scale, rate, step, weight_decay, momentum_factor, seed, first_label, label_chunk
    )
    result: tuple[Tensor, Tensor] = _implementation(features, weight, index).step_(
        features, weight, index, bias, momentum, positives, loss, update
    )
    return result


def _empty_step(
    features: Tensor,
    weight: Tensor,
    index: Tensor,
    bias: Tensor | None,
    momentum: Tensor | None,
    positive_rows: Tensor,
    positive_labels: Tensor,
    scale: Tensor,
    rate: Tensor,
    step: Tensor,
    loss: str,
    weight_decay: float,
    momentum_factor: float,
    seed: int,
    first_label: int,
    label_chunk: int,
) -> tuple[Tensor, Tensor]:
    positives, scalars = (positive_rows, positive_labels), (scale, rate, step)
    check(features, weight, index, bias, momentum, positives, scalars, loss, label_chunk)
    return (
        features.new_empty((), dtype=torch.float32),
        features.new_empty(features.shape, dtype=torch.float32),
    )


ffi_step_.register_fake(_empty_step)
