"""Arguments of a kernel, checked against the parameters in its text and given their widths.

CUDA checks nothing: a wrong width or a tensor of another type is no error there, only wrong numbers or a
write astray. cuda-core would take a Python int for 64 bits whatever the kernel wants, hence NumPy scalars for
all but addresses.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xmcpipe.ops.nvrtc.source import Parameter

Argument = Tensor | int | float | None
Packer = Callable[[Argument, torch.device], Any]

# A pointer to bits takes them signed or not: torch has few operations on unsigned integers.
SAME_BITS = {"uint16": ("int16",), "uint32": ("int32",), "uint64": ("int64",)}


def packer(parameter: Parameter) -> Packer:
    """What turns an argument into what cuda-core passes on, or raises ValueError.

    A pointer takes a contiguous tensor of its type on the device, or None where it may be null; a number
    takes a Python number in its range.
    """
    if parameter.pointer:
        return _address_packer(parameter)
    scalar = _float_of(parameter) if parameter.type.startswith("float") else _whole_of(parameter)
    # Sizes and rates come again every step, and a NumPy scalar takes longer to make than to find.
    kept = lru_cache(maxsize=1024, typed=True)(scalar)
    return lambda value, _: kept(value)


def pack(packers: Sequence[Packer], arguments: Sequence[Argument], device: torch.device) -> list[Any]:
    """Each argument through its packer. Raises ValueError, also for a wrong number of them."""
    if len(arguments) != len(packers):
        raise ValueError(f"{len(packers)} arguments are wanted, got {len(arguments)}")
    return [pack(value, device) for pack, value in zip(packers, arguments, strict=True)]


def _address_packer(parameter: Parameter) -> Packer:
    names = (parameter.type, *SAME_BITS.get(parameter.type, ()))
    accepted = tuple(getattr(torch, name) for name in names if parameter.type != "any")

    def pack(value: Argument, device: torch.device) -> int:
        if value is None and parameter.optional:
            return 0
        if not isinstance(value, Tensor):
            raise ValueError(f"{parameter.name} must be a tensor, got {value!r}")
        if value.device != device or not value.is_contiguous() or (accepted and value.dtype not in accepted):
            raise ValueError(
                f"{parameter.name} must be contiguous {parameter.type} on {device}, "
                f"got {value.dtype} {list(value.shape)} of strides {value.stride()} on {value.device}"
            )
        return value.data_ptr()

    return pack


def _float_of(parameter: Parameter) -> Callable[[Argument], Any]:
    scalar = np.dtype(parameter.type).type

    def convert(value: Argument) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{parameter.name} must be a number, got {value!r}")
        return scalar(value)

    return convert


def _whole_of(parameter: Parameter) -> Callable[[Argument], Any]:
    scalar, limits = np.dtype(parameter.type).type, np.iinfo(parameter.type)

    def convert(value: Argument) -> Any:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{parameter.name} must be a whole number, got {value!r}")
        if not limits.min <= value <= limits.max:
            raise ValueError(f"{parameter.name} = {value} doesn't fit {parameter.type}")
        return scalar(value)

    return convert
