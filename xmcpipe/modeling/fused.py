"""Scores, loss and gradient chunk by chunk of labels, in the forward pass, so that no [B, L] tensor is kept.

The idea is that of fused linear cross entropy: the gradient of a chunk's scores needs nothing from other
chunks, so it is taken where the scores are, turned into the chunk's share of dX and its dW, and forgotten.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xmcpipe.modeling.heads import Head
from xmcpipe.modeling.losses import IN_PLACE, Loss


@dataclass(frozen=True)
class Positives:
    """The (row, label) pairs of a batch, sorted by label: int64 [P] each, distinct pairs."""

    rows: Tensor
    labels: Tensor

    @staticmethod
    def of(rows: Tensor, labels: Tensor) -> "Positives":
        """From pairs in any order."""
        order = labels.argsort(stable=True)
        return Positives(rows[order], labels[order])

    def within(self, begin: int, end: int) -> tuple[Tensor, Tensor]:
        """Rows and columns (label - begin) of the pairs whose label is in [begin, end)."""
        bounds = torch.tensor([begin, end], device=self.labels.device)
        first, last = torch.searchsorted(self.labels, bounds).tolist()
        return self.rows[first:last], self.labels[first:last] - begin


class _ChunkedLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        inner_BW: Tensor,
        weight_LW: Tensor,
        bias_L: Tensor | None,
        head: Head,
        positives: Positives,
        loss: Loss,
        scale: float,
        label_chunk: int,
    ) -> Tensor:
        need_grad = any(ctx.needs_input_grad)
        total = torch.zeros((), device=inner_BW.device)
        grad_inner = torch.zeros_like(inner_BW, dtype=torch.float32)
        grad_weight = torch.empty_like(weight_LW) if need_grad else None
        grad_bias = None if bias_L is None else torch.empty_like(bias_L)
        for begin, end in head.chunks(label_chunk):
            scores_BC = head.scores(inner_BW, begin, end)
            rows, columns = positives.within(head.shape.first_label + begin, head.shape.first_label + end)
            total += IN_PLACE[loss](scores_BC, rows, columns)
            if grad_weight is not None:
                grad_inner += head.backward(scores_BC, inner_BW, begin, end, grad_weight)
                if grad_bias is not None:
                    torch.sum(scores_BC, 0, out=grad_bias[begin:end])
        ctx.gradients, ctx.scale, ctx.dtype = (grad_inner, grad_weight, grad_bias), scale, inner_BW.dtype
        return total * scale

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        # 1 / (B x L) alone is below what float16 holds: it meets the loss scale in float32, before the cast.
        factor = grad.float() * ctx.scale
        grad_inner, grad_weight, grad_bias = ctx.gradients
        ctx.gradients = None
        for part in (grad_inner, grad_weight, grad_bias):
            if part is not None:
                part.mul_(factor)
        return (grad_inner.to(ctx.dtype), grad_weight, grad_bias, None, None, None, None, None)


def chunked_loss(
    head: Head, features_BD: Tensor, positives: Positives, loss: Loss, scale: float, label_chunk: int
) -> Tensor:
    """`scale` times the loss summed over all rows and all labels of `head`: a float32 scalar with autograd.

    `features_BD`: float [B, D]. `label_chunk` labels are scored at a time; the value doesn't depend on it,
    but for the order of float sums. Backward may be called once.
    """
    inner_BW = head.project(features_BD)
    loss_value: Tensor = _ChunkedLoss.apply(  # type: ignore[no-untyped-call]
        inner_BW, head.weight, head.bias, head, positives, loss, scale, label_chunk
    )
    return loss_value
