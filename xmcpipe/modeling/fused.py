"""Scores, loss and gradient chunk by chunk of labels, in the forward pass, so that no [B, L] tensor exists.

The idea is that of fused linear cross entropy: the gradient of a chunk's scores depends on no other chunk. So
it is computed right after the scores. Its two products are added to dX and written to the chunk's part of
dW; then it is dropped.

B rows, D features, L labels, W width of a row of weights (K or D), P positives.
"""

from typing import Any

import torch
from torch import Tensor

from xmcpipe.modeling.heads import Head
from xmcpipe.ops.layer import Positives
from xmcpipe.ops.losses.loss import loss_named
from xmcpipe.ops.word_layer import Words
from xmcpipe.ops.words.product import word_update_


class _ChunkedLoss(torch.autograd.Function):
    """The gradients are ready after forward; backward only scales them."""

    @staticmethod
    def forward(
        ctx: Any,
        projected_BW: Tensor,
        weight_LW: Tensor,
        bias_L: Tensor | None,
        head: Head,
        positives: Positives,
        loss: str,
        scale: float,
        label_chunk: int,
        words: Words,
    ) -> Tensor:
        # Weight and bias are arguments only to make autograd request their gradients.
        need_grad, need_projected = any(ctx.needs_input_grad), ctx.needs_input_grad[0]
        loss_in_place = loss_named(loss).in_place
        total = torch.zeros((), device=projected_BW.device)
        # A frozen encoder needs no dX, a third of the work.
        grad_projected = torch.zeros_like(projected_BW, dtype=torch.float32) if need_projected else None
        grad_weight = torch.empty_like(weight_LW) if need_grad else None
        grad_bias = None if bias_L is None else torch.empty_like(bias_L)
        chunks = list(head.chunks(label_chunk))
        for (begin, end), pairs in zip(chunks, _pairs_of(head, positives, chunks), strict=True):
            scores = head.scores(projected_BW, begin, end, None if words is None else words.batch)
            total += loss_in_place(scores, pairs.rows, pairs.labels)  # scores become their gradient
            if need_grad and words is not None:
                word_update_(scores, *words.part(begin, end))
            if grad_weight is not None:
                grad_weight[begin:end] = head.grad_weight(scores, projected_BW, begin, end)
                if grad_projected is not None:
                    grad_projected += head.grad_projected(scores, projected_BW, begin, end)
                if grad_bias is not None:
                    torch.sum(scores, 0, out=grad_bias[begin:end])
        ctx.gradients, ctx.scale = (grad_projected, grad_weight, grad_bias), scale
        ctx.dtype = projected_BW.dtype
        return total * scale

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        # 1 / (B x L) alone underflows in float16: it meets the loss scale in float32, before the cast.
        factor = grad.float() * ctx.scale
        grad_projected, grad_weight, grad_bias = ctx.gradients
        ctx.gradients = None
        for gradient in (grad_projected, grad_weight, grad_bias):
            if gradient is not None:
                gradient.mul_(factor)
        if grad_projected is not None:
            grad_projected = grad_projected.to(ctx.dtype)
        return (grad_projected, grad_weight, grad_bias, *[None] * 6)


def _pairs_of(head: Head, positives: Positives, chunks: list[tuple[int, int]]) -> list[Positives]:
    """The positive pairs of each chunk of `head`, with labels counted from its begin."""
    if head.owns_all_labels and chunks == [(0, head.num_labels)]:
        return [positives]  # nothing is searched, which would wait for the device
    first = head.shape.first_label
    return positives.parts([(first + begin, first + end) for begin, end in chunks])


def chunked_loss(
    head: Head,
    features_BD: Tensor,
    positives: Positives,
    loss: str,
    scale: float,
    label_chunk: int,
    words: Words = None,
) -> Tensor:
    """`scale` times the loss summed over all rows and all labels of `head`: a float32 scalar with autograd.

    `features_BD`: float [B, D]. `label_chunk` labels are scored at a time; it changes only the order of float
    sums. Backward may be called only once, since it scales the stored gradients in place. `words` are those
    of the rows, for a head that reads words: their weights are updated during this call, if autograd records
    it. Raises ValueError for an unknown loss.
    """
    projected_BW = head.project(features_BD)
    loss_value: Tensor = _ChunkedLoss.apply(  # type: ignore[no-untyped-call]
        projected_BW, head.weight, head.bias, head, positives, loss, scale, label_chunk, words
    )
    return loss_value
