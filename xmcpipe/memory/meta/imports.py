"""Keeps torch from importing its compiler for a rehearsal: the import takes longer than the rehearsal.

torch marks modes, optimizers and reference functions as not to be compiled, and imports `torch._dynamo` when
the first of them runs (`torch/_compile.py`). A rehearsal compiles nothing.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

NAME = "torch._dynamo"
MARK = "__dynamo_disable"  # where torch keeps what `disable` returned for a function


class _StandIn(ModuleType):
    """A module with the given names; asked for another, it imports the real one and steps aside."""

    def __init__(self, **names: Any) -> None:
        super().__init__(NAME)
        vars(self).update(names)

    def __getattr__(self, name: str) -> Any:
        # Of the names that Python asks for itself, one is that of an import of a submodule.
        if name.startswith("__") and name != "__path__":
            raise AttributeError(name)
        self.remove()
        return getattr(importlib.import_module(NAME), name)

    def remove(self) -> None:
        if sys.modules.get(NAME) is self:
            del sys.modules[NAME]
        if vars(torch).get("_dynamo") is self:
            del torch._dynamo


@contextmanager
def without_compiler() -> Iterator[None]:
    """Within it, torch leaves its compiler alone, unless it asks for more of it than is known here."""
    if NAME in sys.modules:
        yield
        return
    seen: list[Callable[..., Any]] = []

    def disable(fn: Callable[..., Any], *_: Any, **__: Any) -> Callable[..., Any]:
        seen.append(fn)
        return fn

    stand_in = _StandIn(disable=disable, graph_break=lambda: None)
    sys.modules[NAME] = torch._dynamo = stand_in
    try:
        yield
    finally:
        stand_in.remove()
        for fn in seen:  # so that torch asks its real compiler the next time
            vars(fn).pop(MARK, None)
