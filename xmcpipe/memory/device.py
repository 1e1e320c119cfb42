"""Makes tensors on "meta" allocate what an encoder's operators allocate on a real device.

Tensors on the device "meta" pass through the same Python code and the same autograd as real ones, but have no
memory: an operator returns only a result of the right shape. Three things depend on the real device, and are
emulated here:

- autocast, which ignores meta tensors. A weight that is cast to 16 bits lives until the autocast region ends,
  as in torch (at::autocast::cached_cast);
- attention: torch chooses the kernel by the device. With a mask, CUDA uses the memory-efficient kernel, which
  stores no probabilities. A CPU uses its flash kernel, which has no dropout, or else plain operators;
- dropout stores one byte per element on CUDA, and a tensor of factors on a CPU.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

Call = Callable[..., Any]

# The functions of autocast's list (docs.pytorch.org/docs/stable/amp.html) that encoders call; CPU and CUDA
# have the same.
IN_HALF: frozenset[Call] = frozenset(
    [
        F.linear,
        F.conv1d,
        F.conv2d,
        torch.matmul,
        torch.mm,
        torch.bmm,
        torch.addmm,
        torch.baddbmm,
        torch.einsum,
        Tensor.matmul,
        Tensor.__matmul__,
        Tensor.mm,
        Tensor.bmm,
        Tensor.baddbmm,
        F.scaled_dot_product_attention,
    ]
)
BIAS_ALIGNMENT = 16  # the memory-efficient kernel requires rows of its bias in multiples of this size
CPU_AUTOCAST = "cpu"  # a rehearsed step enters autocast for the CPU, whichever device is emulated


class EmulatedDevice(TorchFunctionMode):
    """While it is entered, functions on meta tensors behave as on `device`, "cpu" or "cuda"."""

    def __init__(self, device: str) -> None:
        super().__init__()
        on_gpu = device == "cuda"
        attention = _attention_cuda if on_gpu else _attention_cpu
        self._replaced: dict[Call, Call] = {F.scaled_dot_product_attention: attention}
        if on_gpu:
            self._replaced[F.dropout] = _dropout_cuda
        self._casts: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_function__(
        self, func: Call, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in IN_HALF and torch.is_autocast_enabled(CPU_AUTOCAST):
            args = tuple(self._cast(value) for value in args)
            kwargs = {name: self._cast(value) for name, value in kwargs.items()}
        return self._replaced.get(func, func)(*args, **kwargs)

    def forget_casts(self) -> None:
        """Drop the cached casts if the autocast region has ended; to be called at every operator."""
        if self._casts and not torch.is_autocast_enabled(CPU_AUTOCAST):
            self._casts.clear()

    def _cast(self, value: Any) -> Any:
        dtype = torch.get_autocast_dtype(CPU_AUTOCAST)
        if (
            not isinstance(value, Tensor)
            or not value.is_floating_point()
            or value.dtype in (dtype, torch.float64)
        ):
            return value
        if not (value.is_leaf and value.requires_grad):  # torch caches the casts of weights only
            return value.to(dtype)
        # The weight is stored too: while it lives, its id can't be reused.
        if id(value) not in self._casts:
            self._casts[id(value)] = (value, value.to(dtype))
        return self._casts[id(value)][1]


def _dropout_cuda(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    if not training or not 0.0 < p < 1.0:
        return F.dropout(input, p, training, inplace)
    return torch.native_dropout(input, p, True)[0]


def _attention_cuda(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    bias = None
    if attn_mask is not None:
        bias = attn_mask.to(query.dtype)  # torch turns a mask of bools into a bias of 0 and -inf
        missing = -bias.shape[-1] % BIAS_ALIGNMENT
        if missing:
            bias = F.pad(bias, (0, missing))[..., : bias.shape[-1]]
        bias = bias.expand(*query.shape[:-1], key.shape[-2])
    efficient = torch.ops.aten._scaled_dot_product_efficient_attention
    attended: Tensor = efficient(query, key, value, bias, True, dropout_p, is_causal, scale=scale)[0]
    return attended


def _attention_cpu(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    if dropout_p or enable_gqa:  # on "meta", too, torch falls back to plain operators
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        attn_mask = attn_mask.to(query.dtype)
    flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    attended: Tensor = flash(query, key, value, 0.0, is_causal, attn_mask=attn_mask, scale=scale)[0]
    return attended
