"""Typed, frozen configuration: dataclasses built from TOML tables, with errors that name the nearest key.

    @dataclass(frozen=True)
    class TokenizeConfig:
        encoder: str
        \"\"\"Encoder whose tokenizer is used.\"\"\"

        num_workers: int = runtime(0)
        \"\"\"Number of processes that tokenize in parallel.\"\"\"

The string under a field documents its key; `documentation` reads it. A field is part of an artifact's
identity, and so of its fingerprint, unless it is declared with `runtime(default)`: where and how fast
something runs does not change what it computes. A field with `later(default)`, added after artifacts existed,
is part of the identity only if it is set to something else. A class whose defaults depend on other keys of
the table has a static method `defaults(table)` that returns those defaults.
"""

import ast
import dataclasses
import difflib
import inspect
import math
import textwrap
import types
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import pairwise
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from xmcpipe.errors import XmcpipeError

C = TypeVar("C")


def runtime(default: Any) -> Any:
    """A field that changes how a stage runs but not what it computes, so that no fingerprint contains it."""
    return dataclasses.field(default=default, metadata={"runtime": True})


def later(default: Any) -> Any:
    """A field that was added after artifacts existed.

    It is in fingerprints only if it is not at its default, so that old artifacts are still found.
    """
    return dataclasses.field(default=default, metadata={"later": True})


def require_at_least(config: Any, least: float, *names: str) -> None:
    """Raise ValueError if one of the config's fields `names` is below `least` (for __post_init__)."""
    for name in names:
        value = getattr(config, name)
        if value < least:
            raise ValueError(f"expected {name} >= {least}, got {name} = {value}")


def from_table(cls: type[C], table: Mapping[str, Any], where: str) -> C:
    """Build the dataclass `cls` from a TOML table; `where` is the table's name, for errors.

    Raises XmcpipeError for an unknown key (naming the nearest known one), a missing key or a wrong type.
    """
    if not isinstance(table, Mapping):
        raise XmcpipeError(f"{where}: expected a table, got {table!r}", f"write [{where}]")
    hints = get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    # Unknown keys first: a misspelled key would else be reported as a missing one.
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
        return cls(**values)  # its __post_init__ checks values and combinations
    except ValueError as error:
        raise XmcpipeError(f"{where}: {error}") from error


def to_table(config: Any, identity: bool = False) -> dict[str, Any]:
    """The table that `from_table` reads, in JSON types; with `identity`, only the keys in fingerprints."""
    return {
        field.name: _plain(getattr(config, field.name), identity)
        for field in dataclasses.fields(config)
        if not (identity and _not_in_identity(config, field))
    }


def _not_in_identity(config: Any, field: "dataclasses.Field[Any]") -> bool:
    """Whether fingerprints leave the field out, given its present value."""
    later_default = field.metadata.get("later") and getattr(config, field.name) == field.default
    return bool(field.metadata.get("runtime") or later_default)


@cache
def documentation(config_class: type) -> dict[str, str]:
    """The documentation of each key, in the order of the fields; keys of nested tables are dotted.

    It is the string literal directly under the field, with blanks and line breaks normalised; "" if there is
    none. A key that a class inherits is documented in the class that defines it last.
    """
    documents: dict[str, str] = {}
    for ancestor in reversed(config_class.__mro__):
        if dataclasses.is_dataclass(ancestor):
            documents |= _attribute_docstrings(ancestor)
    hints = get_type_hints(config_class)
    keys: dict[str, str] = {}
    for field in dataclasses.fields(config_class):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            keys |= {f"{field.name}.{key}": text for key, text in documentation(hint).items()}
        else:
            keys[field.name] = documents.get(field.name, "")
    return keys


def _attribute_docstrings(config_class: type) -> dict[str, str]:
    """Field -> the string literal directly under it, for the fields that the class itself declares.

    Python keeps no such strings at run time, so they are read from the source.
    """
    tree = ast.parse(textwrap.dedent(inspect.getsource(config_class)))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    documents = {}
    for statement, following in pairwise(body):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            value = following.value if isinstance(following, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                documents[statement.target.id] = " ".join(value.value.split())
    return documents


def nearest(key: str, known: Iterable[str]) -> str:
    """A hint that names the known key that is most like `key`, or all known keys."""
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
    """`value`, read from TOML, as the type `hint`; `where` is its dotted key, for errors."""
    origin = get_origin(hint)
    if dataclasses.is_dataclass(hint):
        return from_table(hint, value, where)  # type: ignore[arg-type]
    if origin is Literal:
        # 1 == True in Python, so that types are compared too.
        if not any(value == choice and type(value) is type(choice) for choice in get_args(hint)):
            raise _wrong(where, value, "one of " + ", ".join(map(repr, get_args(hint))))
        return value
    if origin in (Union, types.UnionType):  # X | None: TOML has no null, there the key is left out
        option = next(option for option in get_args(hint) if option is not types.NoneType)
        return None if value is None else _convert(option, value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise _wrong(where, value, "a list")
        return tuple(_convert(get_args(hint)[0], item, where) for item in value)
    # TOML has whole numbers and floats; a key for a float also takes the first. A bool is an int in Python.
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise _wrong(where, value, _NAMES[hint])
    if isinstance(value, float) and not math.isfinite(value):
        raise _wrong(where, value, "a finite number")  # JSON, and so a fingerprint, has no other
    return value


_NAMES = {int: "a whole number", float: "a number", str: "a string", bool: "true or false"}


def _wrong(where: str, value: Any, expected: str) -> XmcpipeError:
    return XmcpipeError(
        f"{where}: expected {expected}, got {value!r}", "change it in the recipe or with --set"
    )
