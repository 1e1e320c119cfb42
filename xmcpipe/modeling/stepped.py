"""Loss and update of the sparse layer in one pass: what `fused` does, taken on to the optimizer.

The forward pass has all that an update by SGD needs, so it happens there, chunk by chunk of labels: neither a
gradient of the weights nor the scores of more than one chunk exist. Only dX goes through autograd.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xmcpipe.modeling.fused import Positives
from xmcpipe.modeling.heads import Head
from xmcpipe.modeling.losses import Loss
from xmcpipe.ops.step import ffi_step_


@dataclass(frozen=True)
class HeadSGD:
    """SGD for the weights of a head, and where it is.

    `scale` and `rate` float32 [], `step` int64 [] are on the head's device, and change from step to step;
    `momentum` is of the weights' shape and dtype, None for none.
    """

    scale: Tensor
    rate: Tensor
    step: Tensor
    momentum: Tensor | None
    momentum_factor: float
    weight_decay: float

    @staticmethod
    def of(head: Head, momentum_factor: float, weight_decay: float) -> "HeadSGD":
        """At rest: `rate` 0."""
        device = head.weight.device
        scale, rate = (torch.zeros((), device=device) for _ in range(2))
        step = torch.zeros((), dtype=torch.int64, device=device)
        momentum = torch.zeros_like(head.weight.detach()) if momentum_factor else None
        return HeadSGD(scale, rate, step, momentum, momentum_factor, weight_decay)


class _SteppedLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        features_BD: Tensor,
        head: Head,
        positives: Positives,
        loss: Loss,
        factor: float,
        sgd: HeadSGD,
        label_chunk: int,
    ) -> Tensor:
        first = head.shape.first_label
        rows, labels = positives.within(first, first + head.num_labels)
        loss_sum, grad_features = ffi_step_(
            features_BD,
            head.weight,
            head.index,
            head.bias,
            sgd.momentum,
            rows,
            labels,
            sgd.scale,
            sgd.rate,
            sgd.step,
            loss,
            sgd.weight_decay,
            sgd.momentum_factor,
            head.shape.seed,
            first,
            label_chunk,
        )
        ctx.grad_features, ctx.factor, ctx.dtype = grad_features, factor, features_BD.dtype
        value: Tensor = loss_sum * factor
        return value

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_features = ctx.grad_features.mul_(grad.float() * ctx.factor).to(ctx.dtype)
        ctx.grad_features = None
        return grad_features, None, None, None, None, None, None


def stepped_loss(
    head: Head,
    features_BD: Tensor,
    positives: Positives,
    loss: Loss,
    factor: float,
    sgd: HeadSGD,
    label_chunk: int,
) -> Tensor:
    """`factor` times the loss summed over all rows and all labels of `head`, as `fused.chunked_loss`.

    The head is updated at once, by the gradient of `sgd.scale` times that sum; the value, and the gradient of
    the features, are those before the update. The head's parameters must not require a gradient.
    """
    value: Tensor = _SteppedLoss.apply(  # type: ignore[no-untyped-call]
        features_BD, head, positives, loss, factor, sgd, label_chunk
    )
    return value
