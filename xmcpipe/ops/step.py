"""The fused classifier step as a PyTorch operator: scores, loss, dX, and the update of weights and bias.

A label's score, the gradient of its loss, its contribution to dX, its dW and its update depend on no other
label. So a step works chunk by chunk of labels: only one chunk's scores and gradients exist at a time, and
the weights are read once and written once. The idea is that of fused linear cross entropy, extended to the
optimizer (LOMO, Lv et al., 2023; Renee, Jain et al., MLSys 2023).

B rows, D features, L labels, K fan-in, P positives.
"""

from typing import Any, Protocol

import torch
from torch import Tensor

from xmcpipe.ops import step_torch
from xmcpipe.ops.checks import check_step
from xmcpipe.ops.dispatch import cuda_kernels_usable, numba_preferred
from xmcpipe.ops.layer import Positives, SparseLayer, Update


class Step(Protocol):
    """A backend's step; arguments are checked, and the layer is updated in place.

    Raises XmcpipeError for a loss that the backend does not have.
    """

    def __call__(
        self, features_BD: Tensor, layer: SparseLayer, positives: Positives, loss: str, update: Update
    ) -> tuple[Tensor, Tensor]:
        """(loss_sum float32 [], grad_features float32 [B, D])."""


def _implementation(features: Tensor, layer: SparseLayer) -> Step:
    if cuda_kernels_usable(layer.index, features, layer.weight):
        import xmcpipe.ops.cuda.step

        return xmcpipe.ops.cuda.step.step_
    if numba_preferred(features, layer.index, torch.float32):
        import xmcpipe.ops.cpu.step  # here, since numba takes a second to import

        return xmcpipe.ops.cpu.step.step_
    return step_torch.step_


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
    momentum if any, then w -= rate * d. Weights of 16 bits are stored by stochastic rounding, a function of
    `seed`, `step`, the label id `first_label` + l and the place. The bias has neither decay nor momentum. At
    most `label_chunk` labels are scored at a time; this changes only the order of float sums. Raises
    ValueError for other shapes or dtypes, and XmcpipeError for a loss that the backend does not have.
    """
    layer, positives = SparseLayer(weight, index, bias, momentum), Positives(positive_rows, positive_labels)
    update = Update(scale, rate, step, weight_decay, momentum_factor, seed, first_label, label_chunk)
    check_step(features, layer, positives, loss, update)
    return _implementation(features, layer)(features, layer, positives, loss, update)


@ffi_step_.register_fake
def _empty_step(features: Tensor, *schema: Any) -> tuple[Tensor, Tensor]:
    """Results of the right shapes; `schema` is the rest of the operator's arguments."""
    # After `features`: 4 tensors of the layer, 2 of the positives, 3 scalars, the loss, 5 numbers.
    layer, positives, loss = SparseLayer(*schema[:4]), Positives(*schema[4:6]), schema[9]
    check_step(features, layer, positives, loss, Update(*schema[6:9], *schema[10:]))
    return (
        features.new_empty((), dtype=torch.float32),
        features.new_empty(features.shape, dtype=torch.float32),
    )


def step_(
    features_BD: Tensor, layer: SparseLayer, positives: Positives, loss: str, update: Update
) -> tuple[Tensor, Tensor]:
    """`ffi_step_` with its arguments bundled: update `layer` in place, return the loss sum and dX [B, D]."""
    scale, rate, step, *numbers = update
    result: tuple[Tensor, Tensor] = ffi_step_(
        features_BD, *layer, *positives, scale, rate, step, loss, *numbers
    )
    return result
