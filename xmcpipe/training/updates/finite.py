"""Whether the gradients of a step are finite; if one isn't, an update would spoil the weights for good."""

import math

import torch


def gradients_are_finite(optimizers: list[torch.optim.Optimizer]) -> bool:
    """Whether all gradients of the parameters of `optimizers` are finite, and not too large for their norm.

    A rehearsal has gradients without memory, on "meta", which count as finite.
    """
    groups = (group for optimizer in optimizers for group in optimizer.param_groups)
    gradients = [each.grad for group in groups for each in group["params"] if each.grad is not None]
    if any(gradient.is_meta for gradient in gradients):
        return True
    return not gradients or math.isfinite(float(torch.nn.utils.get_total_norm(gradients)))
