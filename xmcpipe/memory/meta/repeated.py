"""Remembers the results of operators on meta tensors: only shapes count, and a step repeats most of them.

An encoder has many equal layers, and torch computes the shape of a result in Python, which takes much longer
than the result itself. So an operator that was called with arguments of these shapes is not called again: an
empty tensor of the same shape takes the place of its result.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Key = tuple[Any, ...]
_empty = torch.ops.aten.empty_strided.default


@dataclass(frozen=True)
class _Shape:
    """What determines a new tensor on "meta"."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype

    @staticmethod
    def of(tensor: Tensor) -> "_Shape":
        return _Shape(tuple(tensor.shape), tensor.stride(), tensor.dtype)

    def new(self) -> Tensor:
        tensor: Tensor = _empty(self.size, self.stride, dtype=self.dtype, device="meta")
        return tensor


class RepeatedCalls:
    """Results by operator and arguments. `flops` of a call are remembered with them."""

    def __init__(self) -> None:
        self._known: dict[Key, tuple[list[_Shape | None] | _Shape, int]] = {}
        self._functional: dict[Any, bool] = {}

    def key(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Key | None:
        """The key of a call; None if its results may share memory with arguments, or depend on values."""
        if func not in self._functional:
            schema = func._schema
            values = [*schema.arguments, *schema.returns]
            self._functional[func] = all(value.alias_info is None for value in values)
        if not self._functional[func]:
            return None
        key = (func, _described(args), _described(tuple(kwargs.items())))
        try:
            hash(key)
        except TypeError:
            return None
        return key

    def result(self, key: Key) -> tuple[Any, int] | None:
        """A result of a call that was made before, with its operations; None for another call."""
        if (known := self._known.get(key)) is None:
            return None
        shapes, flops = known
        if isinstance(shapes, _Shape):
            return shapes.new(), flops
        return tuple(None if shape is None else shape.new() for shape in shapes), flops

    def remember(self, key: Key, args: tuple[Any, ...], result: Any, flops: int) -> None:
        """Remember a result, unless it is more than new tensors."""
        given = {_storage(value) for value in _tensors(args)}
        if isinstance(result, Tensor):
            if _is_new(result, given):
                self._known[key] = _Shape.of(result), flops
        elif isinstance(result, tuple) and all(
            each is None or (isinstance(each, Tensor) and _is_new(each, given)) for each in result
        ):
            self._known[key] = [None if each is None else _Shape.of(each) for each in result], flops


def _described(value: Any) -> Any:
    """The value, with tensors replaced by what shapes depend on; hashable unless it holds something else."""
    if isinstance(value, Tensor):
        return (tuple(value.shape), value.stride(), value.dtype, value.device.type)
    if isinstance(value, (list, tuple)):
        return tuple(map(_described, value))
    return type(value), value  # 1, 1.0 and True are equal, but give results of different dtypes


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [found for each in value for found in _tensors(each)] if isinstance(value, (list, tuple)) else []


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _is_new(tensor: Tensor, given: set[int]) -> bool:
    """Whether an empty tensor of the same strides is the same. Some operators return a view unsaid."""
    alike = type(tensor) is Tensor and tensor.is_meta and _storage(tensor) not in given
    bytes_ = tensor.untyped_storage().nbytes()
    return alike and _Shape.of(tensor).new().untyped_storage().nbytes() == bytes_
