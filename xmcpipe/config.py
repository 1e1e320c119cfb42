"""Typed, frozen configuration: dataclasses built from TOML tables, with an error that names the nearest key.

A field is part of an artifact's identity unless it is declared with `runtime(default)`: where and how fast
something runs is not what it computes. One that came `later(default)` is part of it once it is set. A class
whose defaults depend on what a table says has a static method `defaults(table)` that returns those keys.
"""

import dataclasses
import difflib
import math
import types
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from xmcpipe.errors import XmcpipeError

C = TypeVar("C")


def runtime(default: Any) -> Any:
    """A field that changes how a stage runs but not what it computes, so that no fingerprint holds it."""
    return dataclasses.field(default=default, metadata={"runtime": True})


def later(default: Any) -> Any:
    """A field that is younger than the artifacts: at its default no fingerprint holds it, so that they keep
    their names.
    """
    return dataclasses.field(default=default, metadata={"later": True})


def require_at_least(config: Any, least: float, *names: str) -> None:
    """Raise ValueError where one of the config's fields `names` is below `least` (for __post_init__)."""
    for name in names:
        value = getattr(config, name)
        if value < least:
            raise ValueError(f"{name} = {value} was given, at least {least} was wanted")


def from_table(cls: type[C], table: Mapping[str, Any], where: str) -> C:
    """Build the dataclass `cls` from a TOML table; `where` is the table's name, for errors.

    Raises XmcpipeError for an unknown key (naming the nearest known one), a missing key or a wrong type.
    """
    if not isinstance(table, Mapping):
        raise XmcpipeError(f"{where}: {table!r} was given, a table was wanted", f"write [{where}]")
    hints = get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in table:
        if key not in fields:
            raise XmcpipeError(f"{where}: there is no key {key!r}", nearest(key, fields))
    values: dict[str, Any] = {}
    if defaults := getattr(cls, "defaults", None):
        table = {**defaults(table), **table}
    for name, field in fields.items():
        if name in table:
            values[name] = _convert(hints[name], table[name], f"{where}.{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            hint = f"add {name} = … to [{where}], or --set {where}.{name}=…"
            raise XmcpipeError(f"{where}: the key {name!r} is missing", hint)
    try:
        return cls(**values)
    except ValueError as error:
        raise XmcpipeError(f"{where}: {error}") from error


def to_table(config: Any, identity: bool = False) -> dict[str, Any]:
    """The table that `from_table` reads back, in JSON types; with `identity`, what fingerprints hold."""
    return {
        field.name: _plain(getattr(config, field.name), identity)
        for field in dataclasses.fields(config)
        if not (identity and _without_name(config, field))
    }


def _without_name(config: Any, field: "dataclasses.Field[Any]") -> bool:
    """Whether no fingerprint holds the field as it is set."""
    later_default = field.metadata.get("later") and getattr(config, field.name) == field.default
    return bool(field.metadata.get("runtime") or later_default)


def nearest(key: str, known: Iterable[str]) -> str:
    """A hint that names the known key most like `key`, or all of them."""
    known = list(known)
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else "known keys: " + ", ".join(known)


def _plain(value: Any, identity: bool) -> Any:
    if dataclasses.is_dataclass(value):
        return to_table(value, identity)
    if isinstance(value, tuple):
        return [_plain(item, identity) for item in value]
    return value


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin = get_origin(hint)
    if dataclasses.is_dataclass(hint):
        return from_table(hint, value, where)  # type: ignore[arg-type]
    if origin is Literal:
        if not any(value == choice and type(value) is type(choice) for choice in get_args(hint)):
            choices = ", ".join(map(repr, get_args(hint)))
            raise XmcpipeError(f"{where}: {value!r} was given", f"one of {choices} is wanted")
        return value
    if origin in (Union, types.UnionType):  # X | None; only JSON can say None, in TOML the key is left out
        option = next(option for option in get_args(hint) if option is not types.NoneType)
        return None if value is None else _convert(option, value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise _wrong(where, value, "a list")
        return tuple(_convert(get_args(hint)[0], item, where) for item in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise _wrong(where, value, _NAMES[hint])
    if isinstance(value, float) and not math.isfinite(value):
        raise _wrong(where, value, "a finite number")  # no JSON holds another, so no fingerprint could
    return value


_NAMES = {int: "a whole number", float: "a number", str: "a string", bool: "true or false"}


def _wrong(where: str, value: Any, wanted: str) -> XmcpipeError:
    return XmcpipeError(
        f"{where}: {value!r} was given, {wanted} was wanted", "change it in the recipe or with --set"
    )
