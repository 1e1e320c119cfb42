"""AdamW whose updates run during backward, with Kahan summation: where torch-optimi is not installed.

It computes what optimi's AdamW computes, and its state has the same names, so that a checkpoint of one is a
checkpoint of the other. It takes several kernels for each parameter where optimi's Triton kernel is one.

Kahan summation (Zamirai et al., "Revisiting bfloat16 training", 2020): a step far below the last place of a
16-bit weight would be rounded away. So steps are added to a compensation of the weight's dtype first. Only
what the weight has really taken from it is subtracted from the compensation again.
"""

from functools import partial
from typing import Any

import torch
from torch import nn

from xmcpipe.training.updates.optimizer import Group

HALF = (torch.bfloat16, torch.float16)


class KahanAdamW(torch.optim.Optimizer):
    """AdamW over `groups`, each with `lr` and `weight_decay`; 16-bit parameters are compensated.

    A hook on each parameter updates it as soon as its gradient is complete, and frees the gradient (LOMO, Lv
    et al., 2023). So there is no gradient for `step` to use.
    """

    def __init__(self, groups: list[Group], betas: tuple[float, float], eps: float) -> None:
        super().__init__(groups, {"lr": 0.0, "weight_decay": 0.0})
        self._betas, self._eps = betas, eps
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.register_post_accumulate_grad_hook(partial(self._release, group))

    @torch.no_grad()
    def _release(self, group: Group, parameter: nn.Parameter) -> None:
        """Update a parameter of `group` by its gradient, and free the gradient."""
        gradient = parameter.grad
        assert gradient is not None, "torch calls the hook with a gradient"
        state = self._state(parameter)
        state["step"] += 1
        # Averages of the gradients so far, and not of zeros before the first one: Adam's bias correction.
        first, second = (_corrected(beta, int(state["step"])) for beta in self._betas)
        mean, square, compensation = state["exp_avg"], state["exp_avg_sq"], state["kahan_comp"]
        mean.mul_(first).add_(gradient, alpha=1.0 - first)
        square.mul_(second).addcmul_(gradient, gradient, value=1.0 - second)
        if group["weight_decay"]:
            parameter.mul_(1.0 - group["lr"] * group["weight_decay"])
        # The gradient is not needed any more: its memory holds the denominator, then the old weight.
        scratch = torch.sqrt(square, out=gradient).add_(self._eps)
        if compensation is None:
            parameter.addcdiv_(mean, scratch, value=-group["lr"])
        else:
            compensation.addcdiv_(mean, scratch, value=-group["lr"])
            scratch.copy_(parameter)
            parameter.add_(compensation)
            compensation.add_(scratch.sub_(parameter))
        parameter.grad = None

    def _state(self, parameter: nn.Parameter) -> dict[str, Any]:
        """Averages, compensation and number of steps of a parameter, zeros at first."""
        state: dict[str, Any] = self.state[parameter]
        if "exp_avg" not in state:
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
            state["kahan_comp"] = torch.zeros_like(parameter) if parameter.dtype in HALF else None
            state["step"] = torch.tensor(0, dtype=torch.int32)  # on the host, so that reading it is free
        return state


def _corrected(beta: float, step: int) -> float:
    """The weight of the average before in that of `step` gradients; 0 at the first."""
    return beta * (1.0 - beta ** (step - 1)) / (1.0 - beta**step)
