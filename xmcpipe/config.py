"""Typed, frozen configuration: dataclasses built from TOML tables, with errors that name the nearest key.

    @dataclass(frozen=True)
    class TokenizeConfig:
        encoder: str
        \"\"\"Encoder whose tokenizer is used.\"\"\"

        num_workers: int = runtime(0)
        \"\"\"Number of processes that tokenize in parallel.\"\"\"

The string under a field documents its key; `documentation` reads it.

A field is part of an artifact's identity, and therefore of its fingerprint, with two exceptions. A field
declared with `runtime(default)` changes where or how fast a stage runs, but not what it computes. A field
declared with `later(default)` was added after artifacts existed: it is part of the identity only if it
differs from its default (or if the feature that it belongs to is on, see `later`).

If defaults depend on other keys of the table, the class has a static method `defaults(table)` that returns
them.
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
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from xmcpipe.errors import XmcpipeError, require_file

C = TypeVar("C")

Auto = Literal["auto"]
AUTO: Auto = "auto"  # a value that is chosen when the data are known


def runtime(default: Any) -> Any:
    """A field that changes how a stage runs but not what it computes: it is in no fingerprint."""
    return dataclasses.field(default=default, metadata={"runtime": True})


def file_path() -> Any:
    """A runtime field, None by default, with the path of a file or folder, which a recipe names beside it."""
    return dataclasses.field(default=None, metadata={"runtime": True, "path": "file"})


def model_path() -> Any:
    """A runtime field, None by default: the folder of a model, or a recipe, by its path or its name.

    A stage that has one puts the fingerprint of that model among its inputs.
    """
    return dataclasses.field(default=None, metadata={"runtime": True, "path": "model"})


def names_or_file() -> Any:
    """A field like `later(None)` with a list of names, which a recipe may also give as a file, one a line.

    The names themselves are in fingerprints, and not the path.
    """
    return dataclasses.field(default=None, metadata={"later": True, "of": "", "path": "file", "names": True})


# The metadata of a field with the name of an encoder, which may be the path of a folder.
ENCODER_NAME = {"path": "encoder"}


def later(default: Any, of: str = "") -> Any:
    """A field that was added after artifacts existed.

    It is in a fingerprint only if it differs from its default, so that older artifacts are still found. With
    `of`, the name of another such field that turns a feature on, it is in a fingerprint whenever that one is.
    Then its default may change, because artifacts that have the feature record the value.
    """
    return dataclasses.field(default=default, metadata={"later": True, "of": of})


def require_at_least(config: Any, least: float, *names: str) -> None:
    """Raise ValueError if any of the fields `names` of the config is below `least` (for __post_init__).

    A value that is still to be chosen ("auto") passes.
    """
    for name in names:
        value = getattr(config, name)
        if value != AUTO and value < least:
            raise ValueError(f"expected {name} >= {least}, got {name} = {value}")


def from_table(cls: type[C], table: Mapping[str, Any], name: str) -> C:
    """Build the dataclass `cls` from a TOML table; `name` is the table's name in errors.

    Raises XmcpipeError for an unknown key (naming the nearest known one), a missing key or a wrong type.
    """
    if not isinstance(table, Mapping):
        raise XmcpipeError(f"{name}: expected a table, got {table!r}", f"write [{name}]")
    hints = get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    # Unknown keys are checked first: otherwise a misspelled key would be reported as a missing one.
    for key in table:
        if key not in fields:
            raise XmcpipeError(f"{name}: there is no key {key!r}", nearest(key, fields))
    values: dict[str, Any] = {}
    if defaults := getattr(cls, "defaults", None):
        table = {**defaults(table), **table}
    for key, field in fields.items():
        if key in table:
            value = table[key]
            if field.metadata.get("names") and isinstance(value, str):
                value = read_names(Path(value), f"{name}.{key}")
            values[key] = _convert(hints[key], value, f"{name}.{key}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            hint = f"add {key} = … to [{name}], or --set {name}.{key}=…"
            raise XmcpipeError(f"{name}: the key {key!r} is missing", hint)
    try:
        return cls(**values)  # its __post_init__ checks values and combinations
    except ValueError as error:
        raise XmcpipeError(f"{name}: {error}") from error


def read_names(path: Path, what: str) -> list[str]:
    """The names in a text file, one a line, without blank lines; `what` is their key or option in errors.

    Raises XmcpipeError for a file that can't be read, isn't UTF-8 text, or has no name.
    """
    try:
        lines = require_file(path, what).read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise XmcpipeError(
            f"{what}: expected UTF-8 text in {path}, got an invalid byte at {error.start}", "save it as UTF-8"
        ) from error
    names = [name for line in lines if (name := line.removesuffix("\r")).strip()]
    if not names:
        raise XmcpipeError(f"{what}: expected a name on each line of {path}, got none", "check the file")
    return names


def to_table(config: Any, keys: Literal["all", "computed", "identity"] = "all") -> dict[str, Any]:
    """The config as a table of JSON types that `from_table` reads back.

    `keys` "computed" omits what changes only where and how fast a stage runs; "identity" omits besides what
    else is in no fingerprint.
    """
    return {
        field.name: _plain(getattr(config, field.name), keys)
        for field in dataclasses.fields(config)
        if not (
            (keys == "computed" and field.metadata.get("runtime"))
            or (keys == "identity" and _not_in_identity(config, field))
        )
    }


def auto_keys(config: Any) -> list[str]:
    """The keys whose value is "auto", dotted for nested tables; those declared with `runtime` don't count."""
    keys = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            keys += [f"{field.name}.{key}" for key in auto_keys(value)]
        elif value == AUTO and not field.metadata.get("runtime"):
            keys.append(field.name)
    return keys


def _not_in_identity(config: Any, field: "dataclasses.Field[Any]") -> bool:
    """Whether the fingerprint omits the field, given its present value."""
    if field.metadata.get("runtime"):
        return True
    if owner := field.metadata.get("of"):
        owners = {each.name: each for each in dataclasses.fields(config)}
        return _not_in_identity(config, owners[owner])
    return bool(field.metadata.get("later")) and getattr(config, field.name) == field.default


@cache
def documentation(config_class: type) -> dict[str, str]:
    """The documentation of each key, in the order of the fields; keys of nested tables are dotted.

    The documentation is the string literal directly under the field, with runs of blanks and line breaks
    replaced by one blank, or "" if there is none. An inherited key has the documentation of the most derived
    class that declares it.
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

    Python discards these strings when it compiles a class, so they are read from its source.
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
    """A hint: the known key that resembles `key` most, or all known keys if none does."""
    known = list(known)
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else "known keys: " + ", ".join(known)


def _plain(value: Any, keys: Literal["all", "computed", "identity"]) -> Any:
    if dataclasses.is_dataclass(value):
        return to_table(value, keys)
    if isinstance(value, tuple):
        return [_plain(item, keys) for item in value]
    return value


def _convert(hint: Any, value: Any, key: str) -> Any:
    """`value`, read from TOML, converted to the type `hint`; `key` is its dotted key in errors."""
    origin = get_origin(hint)
    if dataclasses.is_dataclass(hint):
        return from_table(hint, value, key)  # type: ignore[arg-type]
    if origin is Literal:
        # In Python 1 == True, so the types are compared too.
        if not any(value == choice and type(value) is type(choice) for choice in get_args(hint)):
            raise _wrong(key, value, "one of " + ", ".join(map(repr, get_args(hint))))
        return value
    if origin in (Union, types.UnionType):
        return _convert_union(get_args(hint), value, key)
    if origin is tuple:
        if not isinstance(value, list):
            raise _wrong(key, value, "a list")
        return tuple(_convert(get_args(hint)[0], item, key) for item in value)
    # A key of type float also accepts a whole number. A bool is an int in Python, but not accepted as one.
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if is_whole and hint in (int, float) and not LEAST_INT <= value <= MOST_INT:
        raise _wrong(key, value, f"a whole number from -2^63 to 2^63 - 1 = {MOST_INT}")
    if is_whole and hint is float:
        return float(value)
    if not isinstance(value, hint) or (hint is int and not is_whole):
        raise _wrong(key, value, _NAMES[hint])
    if isinstance(value, float) and not math.isfinite(value):
        raise _wrong(key, value, "a finite number")  # JSON, which is what is hashed, has no inf and no NaN
    return value


def _convert_union(options: tuple[Any, ...], value: Any, key: str) -> Any:
    """`value` converted to X | None (TOML has no null: recipes omit the key), or X | words such as Auto."""
    if value is None:
        return value
    words = [word for option in options if get_origin(option) is Literal for word in get_args(option)]
    others = [each for each in options if each is not types.NoneType and get_origin(each) is not Literal]
    if not others:
        return _convert(Literal[tuple(words)], value, key)
    if not words or not isinstance(value, str):
        return _convert(others[0], value, key)
    if value not in words:
        quoted = " or ".join(f'"{word}"' for word in words)
        raise _wrong(key, value, f"{_NAMES[others[0]]} or {quoted}")
    return value


# TOML and the libraries below have whole numbers of 64 bits.
LEAST_INT, MOST_INT = -(2**63), 2**63 - 1
SHOWN = 200  # characters of a wrong value in an error
_NAMES = {int: "a whole number", float: "a number", str: "a string", bool: "true or false"}


def _wrong(key: str, value: Any, expected: str) -> XmcpipeError:
    got = repr(value)
    got = got if len(got) <= SHOWN else f"{got[:SHOWN]}…"
    return XmcpipeError(f"{key}: expected {expected}, got {got}", "change it in the recipe or with --set")
