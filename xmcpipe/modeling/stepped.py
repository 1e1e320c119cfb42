"""Loss and update of the sparse layer in one pass: the idea of `fused`, extended to the optimizer.

An update by SGD needs nothing that the forward pass does not have. So the forward pass updates the layer
chunk by chunk of labels, and scores and gradients of weights exist for one chunk at a time only. Only dX goes
through autograd.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xmcpipe.modeling.heads import Head
from xmcpipe.ops.layer import Positives, SparseLayer, Update
from xmcpipe.ops.rounding import FLOAT8
from xmcpipe.ops.step import step_
from xmcpipe.ops.word_layer import Words


@dataclass(frozen=True)
class HeadSGD:
    """The state of SGD for the weights of a head.

    `scale` and `rate` float32 [] and `step` int64 [] are tensors on the head's device whose values change
    from step to step; `momentum` has the weights' shape and dtype, bfloat16 for weights of 8 bits, or
    is None without momentum.
    """

    scale: Tensor
    rate: Tensor
    step: Tensor
    momentum: Tensor | None
    momentum_factor: float
    weight_decay: float

    @staticmethod
    def of(head: Head, momentum_factor: float, weight_decay: float) -> "HeadSGD":
        """The state before the first step: scale, rate, step and momentum are 0."""
        device = head.weight.device
        scale, rate = (torch.zeros((), device=device) for _ in range(2))
        step = torch.zeros((), dtype=torch.int64, device=device)
        dtype = torch.bfloat16 if head.weight.dtype == FLOAT8 else head.weight.dtype
        momentum = torch.zeros_like(head.weight.detach(), dtype=dtype) if momentum_factor else None
        return HeadSGD(scale, rate, step, momentum, momentum_factor, weight_decay)

    def update(self, head: Head, label_chunk: int) -> Update:
        """The update of the current step, as the operator expects it."""
        return Update(
            scale=self.scale,
            rate=self.rate,
            step=self.step,
            weight_decay=self.weight_decay,
            momentum_factor=self.momentum_factor,
            seed=head.shape.seed,
            first_label=head.shape.first_label,
            label_chunk=label_chunk,
        )


class _SteppedLoss(torch.autograd.Function):
    """dX is ready after forward; backward only scales it."""

    @staticmethod
    def forward(
        ctx: Any,
        features_BD: Tensor,
        layer: SparseLayer,
        positives: Positives,
        loss: str,
        factor: float,
        update: Update,
        words: Words,
    ) -> Tensor:
        loss_sum, grad_features = step_(features_BD, layer, positives, loss, update, words)
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
    loss: str,
    factor: float,
    sgd: HeadSGD,
    label_chunk: int,
    words: Words = None,
) -> Tensor:
    """`factor` times the loss summed over all rows and all labels of `head`, as `fused.chunked_loss`.

    The head is updated at once, with the gradient of `sgd.scale` times that sum; the value, and the gradient
    of the features, are those before the update. The head's parameters must not require a
    gradient, since they change in the forward pass. `words` are those of the rows, for a head that
    reads words.
    """
    layer = SparseLayer(head.weight, head.index, head.bias, sgd.momentum, head.shape.group)
    if not head.owns_all_labels:  # otherwise nothing is searched, which would wait for the device
        first = head.shape.first_label
        positives = positives.within(first, first + head.num_labels)
    value: Tensor = _SteppedLoss.apply(  # type: ignore[no-untyped-call]
        features_BD, layer, positives, loss, factor, sgd.update(head, label_chunk), words
    )
    return value
