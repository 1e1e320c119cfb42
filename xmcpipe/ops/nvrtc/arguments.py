"""Checks a kernel's arguments by name against the parameters in its text, and converts them to their widths.

CUDA checks nothing: a wrong width or a tensor of another dtype raises no error, but gives wrong numbers or
writes out of bounds. cuda-core passes a Python int as 64 bits, whatever the kernel declares. Therefore all
numbers are converted to NumPy scalars of the declared type; addresses stay Python ints.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xmcpipe.ops.nvrtc.source import Parameter

Argument = Tensor | int | float | None
Packer = Callable[[Argument, torch.device], Any]

# A pointer to bits accepts them signed or unsigned: torch has few operations on unsigned integers.
SAME_BITS = {"uint16": ("int16",), "uint32": ("int32",), "uint64": ("int64",)}


class Signature:
    """The parameters of a kernel, prepared once, so that a launch only looks up its arguments."""

    def __init__(self, entry: str, parameters: Sequence[Parameter]) -> None:
        self.entry = entry
        self._packers = {parameter.name: packer(parameter) for parameter in parameters}
        self._required = frozenset(parameter.name for parameter in parameters if not parameter.optional)
        self._checked_names: set[tuple[str, ...]] = set()

    def pack(self, arguments: Mapping[str, Argument], device: torch.device) -> list[Any]:
        """The values to launch with, in the order of the kernel's parameters.

        Optional pointers that are not in `arguments` are null. Raises ValueError for a missing or unknown
        argument, and for a value of the wrong type, range, dtype, strides or device.
        """
        # Each caller passes the same names at every launch, so each tuple of names is checked only once.
        names = tuple(arguments)
        if names not in self._checked_names:
            if not self._required <= arguments.keys() <= self._packers.keys():
                raise ValueError(self._mismatch(arguments))
            self._checked_names.add(names)
        try:
            return [pack(arguments.get(name), device) for name, pack in self._packers.items()]
        except ValueError as error:
            raise ValueError(f"{self.entry}: {error}") from error

    def _mismatch(self, arguments: Mapping[str, Argument]) -> str:
        missing = [name for name in self._packers if name in self._required and name not in arguments]
        unknown = [name for name in arguments if name not in self._packers]
        parts = [f"no argument for {', '.join(missing)}"] if missing else []
        parts += [f"no parameter {', '.join(unknown)}"] if unknown else []
        return f"{self.entry}: {'; '.join(parts)}; its parameters are {', '.join(self._packers)}"


def packer(parameter: Parameter) -> Packer:
    """A function that converts an argument to what cuda-core passes on, or raises ValueError.

    A pointer accepts a contiguous tensor of its dtype on the device, or None if it may be null. A number
    accepts a Python number in its range.
    """
    if parameter.pointer:
        return _address_packer(parameter)
    convert = _float_converter(parameter) if parameter.type.startswith("float") else _int_converter(parameter)
    # Sizes recur at every step, and looking a NumPy scalar up is faster than creating it. `typed` separates
    # 1, 1.0 and True, which are equal but not equally valid.
    cached = lru_cache(maxsize=1024, typed=True)(convert)
    return lambda value, _: cached(value)


def _address_packer(parameter: Parameter) -> Packer:
    # No dtype is accepted for "any", which skips the check below.
    names = (parameter.type, *SAME_BITS.get(parameter.type, ()))
    accepted = tuple(getattr(torch, name) for name in names if parameter.type != "any")

    def pack(value: Argument, device: torch.device) -> int:
        if value is None and parameter.optional:
            return 0
        if not isinstance(value, Tensor):
            raise ValueError(f"expected a tensor for {parameter.name}, got {value!r}")
        if value.device != device or not value.is_contiguous() or (accepted and value.dtype not in accepted):
            raise ValueError(
                f"expected {parameter.name} contiguous {parameter.type} on {device}, "
                f"got {value.dtype} {list(value.shape)} of strides {value.stride()} on {value.device}"
            )
        return value.data_ptr()

    return pack


def _float_converter(parameter: Parameter) -> Callable[[Argument], Any]:
    scalar = np.dtype(parameter.type).type

    def convert(value: Argument) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"expected a number for {parameter.name}, got {value!r}")
        return scalar(value)

    return convert


def _int_converter(parameter: Parameter) -> Callable[[Argument], Any]:
    scalar, limits = np.dtype(parameter.type).type, np.iinfo(parameter.type)

    def convert(value: Argument) -> Any:
        # bool is a subclass of int, but a flag passed as a size is a mistake.
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"expected an integer for {parameter.name}, got {value!r}")
        if not limits.min <= value <= limits.max:
            raise ValueError(f"expected {parameter.type} for {parameter.name}, got {value}, out of its range")
        return scalar(value)

    return convert
