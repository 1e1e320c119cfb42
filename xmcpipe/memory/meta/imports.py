"""Keeps torch from importing its compiler and sympy for a rehearsal: both take longer than the rehearsal.

torch marks modes, optimizers and reference functions as not to be compiled, and imports `torch._dynamo` when
the first of them runs (`torch/_compile.py`). Its rules for tensors without memory compare sizes by functions
of `symbolic_shapes`, which imports sympy, and ask sympy whether a value is one of its terms. A rehearsal
compiles nothing, and its sizes are numbers.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

COMPILER, SHAPES, TERMS = "torch._dynamo", "torch.fx.experimental.symbolic_shapes", "sympy"
MAXIMUM = "torch.utils._sympy.functions"
MARK = "__dynamo_disable"  # where torch keeps what `disable` returned for a function


class _StandIn(ModuleType):
    """A module with the given names; asked for another, it imports the real one and steps aside.

    Who still holds it then gets every name from the real one.
    """

    def __init__(self, module: str, **names: Any) -> None:
        super().__init__(module)
        self._names = tuple(names)
        vars(self).update(names)
        sys.modules[module] = self
        parent, _, name = module.rpartition(".")
        self._parent = importlib.import_module(parent) if parent else None
        if self._parent is not None:
            setattr(self._parent, name, self)

    def __getattr__(self, name: str) -> Any:
        # Of the names that Python asks for itself, one is that of an import of a submodule of a package.
        if name.startswith("__") and (name != "__path__" or self.__name__ in (SHAPES, MAXIMUM)):
            raise AttributeError(name)
        self.remove()
        return getattr(importlib.import_module(self.__name__), name)

    def remove(self) -> None:
        for name in self._names:
            vars(self).pop(name, None)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        name = self.__name__.rpartition(".")[2]
        if self._parent is not None and vars(self._parent).get(name) is self:
            delattr(self._parent, name)


def _of_numbers(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` for plain numbers and truth values; for anything else, torch's own of this name."""

    def chosen(*args: Any, **named: Any) -> Any:
        if not named and all(map(_is_plain, args)):
            return function(*args)
        return getattr(_real(SHAPES), name)(*args, **named)

    return chosen


def _is_plain(value: Any) -> bool:
    """Whether it is a number, a truth value, a shape of numbers, or a tensor of such a shape."""
    if isinstance(value, torch.Tensor):
        return _is_plain(value.shape)
    return isinstance(value, bool | int) or (
        isinstance(value, tuple | list) and all(isinstance(each, bool | int) for each in value)
    )


def _real(name: str) -> ModuleType:
    known = sys.modules.get(name)
    if isinstance(known, _StandIn):
        known.remove()
    return importlib.import_module(name)


# What torch's functions of these names do with numbers.
OF_NUMBERS: dict[str, Callable[..., Any]] = {
    "expect_true": bool,
    "free_unbacked_symbols": lambda _: set(),
    "guard_or_false": bool,
    "guard_or_true": bool,
    "guard_size_oblivious": bool,
    "guarding_hint_or_throw": lambda number: number,
    "has_guarding_hint": lambda _: True,
    "statically_known_true": bool,
    "is_nested_int": lambda _: False,
    "sym_eq": lambda one, other: list(one) == list(other) if isinstance(one, tuple | list) else one == other,
    "sym_and": lambda *each: all(each),
    "sym_or": lambda *each: any(each),
}


@contextmanager
def without_compiler() -> Iterator[None]:
    """Within it, torch leaves its compiler and sympy alone, unless it asks for more than is known here."""
    seen: list[Callable[..., Any]] = []

    def disable(fn: Callable[..., Any], *_: Any, **__: Any) -> Callable[..., Any]:
        seen.append(fn)
        return fn

    stand_ins = []
    if COMPILER not in sys.modules:
        stand_ins.append(_StandIn(COMPILER, disable=disable, graph_break=lambda: None))
    if SHAPES not in sys.modules:
        functions = {name: _of_numbers(name, function) for name, function in OF_NUMBERS.items()}
        stand_ins.append(_StandIn(SHAPES, **functions))
    if MAXIMUM not in sys.modules:
        stand_ins.append(_StandIn(MAXIMUM, Max=max))
    if TERMS not in sys.modules:
        stand_ins.append(_StandIn(TERMS, Basic=type("Basic", (), {})))  # no value is one
    try:
        yield
    finally:
        for stand_in in stand_ins:
            stand_in.remove()
        for fn in seen:  # so that torch asks its real compiler the next time
            vars(fn).pop(MARK, None)
