"""Measures the norm of the gradient that each loss sends to the encoder, as in the paper's Figure 2.

Backward through the encoder is linear in the gradient of the embedding. Therefore the embedding is split
(`SplitEmbedding`): each loss reads a leaf of its own, which collects the gradient of that loss. The sum of
both trains the encoder. To measure, the gradient of each leaf is first sent through the encoder alone. A
parameter's gradient is freed as soon as its norm is known, so that measuring never stores a set of gradients,
with either `memory`; only activations live longer. A measured step takes 1.6 times as long, 2.4 times with
both losses.

Source: Ullah et al. 2024 (arXiv 2411.03171), Figure 2.

B rows, E width of the embedding.
"""

import math
from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor, nn

# These steps, counted from 1, are measured too: a training changes fast at its beginning, and a short one has
# no other measured step. Step 1 is not among them: a rehearsal (memory.rehearsal) runs two steps, and only in
# the second one the optimizers have state. It must see state and measurement together.
EARLY = (2, 8, 32, 128)


def is_measured(number: int, every: int) -> bool:
    """Whether step `number`, from 1, is measured; with `every` = 0 none is."""
    return every > 0 and (number % every == 0 or number in EARLY)


class SplitEmbedding:
    """The embedding [B, E] as two leaves, one for each loss: `main_BE` and `auxiliary_BE`."""

    def __init__(self, embedding_BE: Tensor) -> None:
        self.embedding_BE = embedding_BE
        needs_grad = embedding_BE.requires_grad  # False for a frozen encoder
        self.main_BE, self.auxiliary_BE = (embedding_BE.detach().requires_grad_(needs_grad) for _ in range(2))

    def backward(self) -> None:
        """Send the sum of the leaves' gradients through the encoder, as if the embedding were not split."""
        gradients = [leaf.grad for leaf in (self.main_BE, self.auxiliary_BE) if leaf.grad is not None]
        if gradients:
            torch.autograd.backward(self.embedding_BE, reduce(torch.add, gradients))

    def norms(self, parameters: Sequence[nn.Parameter], scale: float) -> dict[str, float | None]:
        """{"main": …, "auxiliary": …}: the L2 norm of each loss's gradient over the encoder's `parameters`.

        Call it after the backward of the losses. A gradient includes the weight of its loss in the total; the
        norm is divided by `scale`. A norm is None if its loss has no gradient, or if it isn't finite. The
        encoder's graph is retained, for `backward`.
        """
        leaves = {"main": self.main_BE, "auxiliary": self.auxiliary_BE}
        return {
            name: None if leaf.grad is None else _finite(self._norm(parameters, leaf.grad) / scale)
            for name, leaf in leaves.items()
        }

    def _norm(self, parameters: Sequence[nn.Parameter], grad_embedding_BE: Tensor) -> Tensor:
        norms: list[Tensor] = []

        def measure(gradient: Tensor) -> Tensor:
            norms.append(torch.linalg.vector_norm(gradient, dtype=torch.float32))
            # autograd.grad stores what this hook returns: one zero, expanded, in place of the gradient.
            return gradient.new_zeros(()).expand_as(gradient)

        # The gradient is scaled to magnitude 1 on its way, so that float16 neither overflows nor underflows.
        size = grad_embedding_BE.abs().amax().clamp(min=torch.finfo(grad_embedding_BE.dtype).tiny)
        handles = [
            parameter.register_hook(measure)  # type: ignore[no-untyped-call]
            for parameter in parameters
        ]
        try:
            torch.autograd.grad(
                self.embedding_BE, parameters, grad_embedding_BE / size, retain_graph=True, allow_unused=True
            )
        finally:
            for handle in handles:
                handle.remove()
        total: Tensor = torch.linalg.vector_norm(torch.stack(norms)) * size
        return total


def _finite(value: Tensor) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
