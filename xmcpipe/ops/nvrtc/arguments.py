"""Checks a kernel's arguments by name against the parameters in its text, and writes them in their widths.

CUDA checks nothing: a wrong width or a tensor of another dtype raises no error, but gives wrong numbers or
writes out of bounds. The driver reads the arguments of a launch from memory, each at its own address and as
wide as the kernel declares it. That memory is kept for all launches that change only some of them.
"""

import ctypes
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xmcpipe.ops.nvrtc.source import Parameter

Argument = Tensor | int | float | None
Converter = Callable[[Argument, torch.device], int | float]

# A pointer to bits accepts them signed or unsigned: torch has few operations on unsigned integers.
SAME_BITS = {"uint16": ("int16",), "uint32": ("int32",), "uint64": ("int64",)}
PLACE_BYTES = 8  # of an argument in memory: as the widest
FORMATS = {"float32": "f", "float64": "d", "int32": "i", "uint32": "I", "int64": "q", "uint64": "Q"}
ADDRESS = "Q"


class Signature:
    """The parameters of a kernel, prepared once, so that a launch only looks up its arguments."""

    def __init__(self, entry: str, parameters: Sequence[Parameter]) -> None:
        self.entry, self.parameters = entry, tuple(parameters)
        self.converters = {parameter.name: converter(parameter) for parameter in parameters}
        self.writers = {
            parameter.name: (struct.Struct(_format(parameter)).pack_into, PLACE_BYTES * number)
            for number, parameter in enumerate(parameters)
        }
        self._required = frozenset(parameter.name for parameter in parameters if not parameter.optional)
        self._checked_names: set[tuple[str, ...]] = set()

    def require_all(self, arguments: Mapping[str, Argument]) -> None:
        """Raise ValueError for a missing or unknown argument; optional ones may be left out."""
        # Each caller passes the same names at every launch, so each tuple of names is checked only once.
        names = tuple(arguments)
        if names not in self._checked_names:
            if not self._required <= arguments.keys() <= self.converters.keys():
                raise ValueError(self._mismatch(arguments))
            self._checked_names.add(names)

    def _mismatch(self, arguments: Mapping[str, Argument]) -> str:
        missing = [name for name in self.converters if name in self._required and name not in arguments]
        unknown = [name for name in arguments if name not in self.converters]
        parts = [f"no argument for {', '.join(missing)}"] if missing else []
        parts += [f"no parameter {', '.join(unknown)}"] if unknown else []
        return f"{self.entry}: {'; '.join(parts)}; its parameters are {', '.join(self.converters)}"


class ArgumentMemory:
    """The arguments of a kernel in memory; those that were never written are null or 0.

    `addresses` is the address of an array that holds the address of each of them.
    """

    def __init__(self, signature: Signature) -> None:
        self._signature, count = signature, len(signature.parameters)
        self.bytes = ctypes.create_string_buffer(PLACE_BYTES * count)
        begin = ctypes.addressof(self.bytes)
        self._array = (ctypes.c_void_p * count)(*(begin + PLACE_BYTES * number for number in range(count)))
        self.addresses = ctypes.addressof(self._array)

    def write(self, arguments: Mapping[str, Argument], device: torch.device) -> None:
        """Write these arguments, and leave all others.

        Raises ValueError for a value of the wrong type, range, dtype, strides or device.
        """
        signature = self._signature
        try:
            for name, value in arguments.items():
                pack_into, offset = signature.writers[name]
                pack_into(self.bytes, offset, signature.converters[name](value, device))
        except ValueError as error:
            raise ValueError(f"{signature.entry}: {error}") from error


def converter(parameter: Parameter) -> Converter:
    """A function that converts an argument to the number to write, or raises ValueError.

    A pointer accepts a contiguous tensor of its dtype on the device, or None if it may be null. A number
    accepts a Python number in its range.
    """
    if parameter.pointer:
        return _address_converter(parameter)
    return _float_converter(parameter) if parameter.type.startswith("float") else _int_converter(parameter)


def _format(parameter: Parameter) -> str:
    return f"={ADDRESS if parameter.pointer else FORMATS[parameter.type]}"


def _address_converter(parameter: Parameter) -> Converter:
    # No dtype is accepted for "any", which skips the check below.
    names = (parameter.type, *SAME_BITS.get(parameter.type, ()))
    accepted = tuple(getattr(torch, name) for name in names if parameter.type != "any")

    def convert(value: Argument, device: torch.device) -> int:
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

    return convert


def _float_converter(parameter: Parameter) -> Converter:
    scalar: Any = np.dtype(parameter.type).type

    def convert(value: Argument, _: torch.device) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"expected a number for {parameter.name}, got {value!r}")
        return float(scalar(value))  # rounded here: writing raises for a number past the largest float32

    return convert


def _int_converter(parameter: Parameter) -> Converter:
    limits = np.iinfo(parameter.type)
    least, most = int(limits.min), int(limits.max)

    def convert(value: Argument, _: torch.device) -> int:
        # bool is a subclass of int, but a flag passed as a size is a mistake.
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"expected an integer for {parameter.name}, got {value!r}")
        if not least <= value <= most:
            raise ValueError(f"expected {parameter.type} for {parameter.name}, got {value}, out of its range")
        return value

    return convert
