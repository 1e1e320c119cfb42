"""How strongly each loss pulls at the encoder: the norms of its gradients, as in the paper's Figure 2.

Backward is linear in what comes in at the encoder's end. So the embedding is where the losses part (`Fork`):
each reads a leaf of its own, which ends up with that loss's gradient. Their sum is what trains the encoder;
to measure, each is sent through the encoder by itself before that. No parameter's gradient outlives its norm,
so measuring holds no set of gradients, whatever `memory` does with them; only activations are kept for
longer. A step that is measured takes 1.6 times as long, 2.4 times with both losses.

Source: Ullah et al. 2024 (arXiv 2411.03171), Figure 2.

B rows, D features of the embedding.
"""

import math
from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor, nn

# Steps, from 1, which are measured too: so soon a training changes fast, and a short one ends. Not the first,
# in which the optimizers have no state yet, so that a rehearsal of two steps (plan_rehearsal) sees it all.
EARLY = (2, 8, 32, 128)


def due(number: int, every: int) -> bool:
    """Whether step `number`, from 1, is measured; `every` 0: none is."""
    return every > 0 and (number % every == 0 or number in EARLY)


class Fork:
    """The embedding [B, D] as two leaves, `main` and `auxiliary`, one for each loss to read."""

    def __init__(self, embedding_BD: Tensor) -> None:
        self.embedding = embedding_BD
        learns = embedding_BD.requires_grad
        self.main, self.auxiliary = (embedding_BD.detach().requires_grad_(learns) for _ in range(2))

    def backward(self) -> None:
        """Send the sum of what the losses left here on through the encoder, as if there had been no fork."""
        gradients = [leaf.grad for leaf in (self.main, self.auxiliary) if leaf.grad is not None]
        if gradients:
            torch.autograd.backward(self.embedding, reduce(torch.add, gradients))

    def norms(self, parameters: Sequence[nn.Parameter], scale: float) -> dict[str, float | None]:
        """{"main": …, "auxiliary": …}: the L2 norm, over all of the encoder's `parameters`, of the gradient
        of each loss as it was weighted when it went back to its leaf, which it must have; over `scale`.

        None for a loss that sent nothing, and for what isn't finite. The encoder's graph is kept.
        """
        leaves = {"main": self.main, "auxiliary": self.auxiliary}
        return {
            name: None if leaf.grad is None else _finite(self._norm(parameters, leaf.grad) / scale)
            for name, leaf in leaves.items()
        }

    def _norm(self, parameters: Sequence[nn.Parameter], gradient_BD: Tensor) -> Tensor:
        norms: list[Tensor] = []

        def take(gradient: Tensor) -> Tensor:
            norms.append(torch.linalg.vector_norm(gradient, dtype=torch.float32))
            return gradient.new_zeros(()).expand_as(gradient)  # kept in its place, and of no size

        # Of size 1 on its way, for float16 to neither overflow nor underflow.
        size = gradient_BD.abs().amax().clamp(min=torch.finfo(gradient_BD.dtype).tiny)
        handles = [parameter.register_hook(take) for parameter in parameters]  # type: ignore[no-untyped-call]
        try:
            torch.autograd.grad(
                self.embedding, parameters, gradient_BD / size, retain_graph=True, allow_unused=True
            )
        finally:
            for handle in handles:
                handle.remove()
        total: Tensor = torch.linalg.vector_norm(torch.stack(norms)) * size
        return total


def _finite(value: Tensor) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
