"""The keys of a recipe, read from the config classes: for help, for a schema, and for hints on wrong keys.

A key has the name of its field, its type is the field's annotation, and its sentence is the string under the
field.
"""

import dataclasses
import difflib
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from xmcpipe.config import documentation

# Words that people write -> the keys that they mean, by the last part of a dotted key.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "text_column": ("text",),
    "text_columns": ("text",),
    "texts": ("text",),
    "id_column": ("id",),
    "ids": ("id",),
    "label": ("labels",),
    "labels_column": ("labels",),
    "separator": ("label_separator", "text_separator"),
    "sep": ("label_separator", "text_separator"),
    "path": ("train", "folder", "archive"),
    "file": ("train",),
    "data": ("train", "dataset"),
    "learning_rate": ("lr",),
    "rate": ("lr",),
    "bs": ("batch_size",),
    "batch": ("batch_size",),
    "num_epochs": ("epochs",),
    "n_epochs": ("epochs",),
    "epoch": ("epochs",),
    "steps": ("max_steps",),
    "warmup": ("warmup_steps",),
    "model": ("encoder", "name"),
    "model_name": ("encoder", "name"),
    "max_len": ("max_length",),
    "max_tokens": ("max_length",),
    "sequence_length": ("max_length",),
    "top": ("k",),
    "top_k": ("k",),
    "ks": ("k",),
    "bootstrap": ("rounds",),
    "dtype": ("precision",),
    "gradient_accumulation": ("accumulation",),
    "early_stopping": ("patience",),
    "sparsity": ("fan_in",),
    "connections": ("fan_in",),
    "clusters": ("num_clusters",),
}
_JSON_TYPES = {int: "integer", float: "number", bool: "boolean", str: "string"}


@dataclass(frozen=True)
class Key:
    """A key of a recipe's table.

    `name` is dotted if the key is in a nested table. `default` is None for a key that is required, and for
    one that is not set by default. `choices` are all allowed values, () if there are others.
    """

    name: str
    schema: dict[str, Any]
    required: bool
    default: Any
    choices: tuple[Any, ...]
    text: str

    @property
    def type(self) -> str:
        """The type in words, such as "integer or "auto"" and "list of strings"."""
        return _words(self.schema)


def keys(config_class: type) -> list[Key]:
    """All keys of a config class, those of nested tables included, in the order of the fields."""
    texts = documentation(config_class)
    return [
        Key(name, schema, required, default, tuple(schema.get("enum", ())), texts[name])
        for name, schema, required, default in _walk(config_class)
    ]


def json_schema(tables: Mapping[str, type]) -> dict[str, Any]:
    """The JSON schema of a recipe whose tables have these config classes."""
    properties: dict[str, Any] = {
        "name": {"type": "string", "description": "Name of the recipe; by default that of its file."},
        "seed": {"type": "integer", "description": "Default seed of every stage that has one.", "minimum": 0},
        "extends": {"type": "string", "description": "Path of the recipe that this one starts from."},
    }
    properties |= {name: _table_schema(config_class) for name, config_class in tables.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "xmcpipe recipe",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }


def key_hint(key: str, table: str, tables: Mapping[str, type]) -> str:
    """A hint for the unknown `key` of `table`: the key that was probably meant, here or in another table."""
    names = {name: [each.name for each in keys(config_class)] for name, config_class in tables.items()}
    meant = (key, *SYNONYMS.get(key.lower().replace("-", "_"), ()))
    for candidates in ([table], [name for name in names if name != table]):
        full = [(name, each) for name in candidates for each in names[name]]
        found = [f"{name}.{each}" for word in meant for name, each in full if each.split(".")[-1] == word]
        if found:
            return f"did you mean {' or '.join(found)}?"
    close = difflib.get_close_matches(key, names[table], n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"`xmcpipe keys {table}` lists the keys of [{table}]"


def _walk(config_class: type) -> Iterable[tuple[str, dict[str, Any], bool, Any]]:
    """Name, schema, whether it is required, and default of each key."""
    hints = get_type_hints(config_class)
    for field in dataclasses.fields(config_class):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            for name, schema, required, default in _walk(hint):
                yield f"{field.name}.{name}", schema, required, default
            continue
        # Only nested tables have a default factory.
        required = field.default is dataclasses.MISSING
        default = None if required else field.default
        yield field.name, _schema(hint), required, list(default) if isinstance(default, tuple) else default


def _table_schema(config_class: type) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": {}}
    for key in keys(config_class):
        inner, (*path, last) = schema, key.name.split(".")
        for part in path:
            empty = {"type": "object", "additionalProperties": False, "properties": {}}
            inner = inner["properties"].setdefault(part, empty)
        facts = {**key.schema, "description": key.text}
        if key.default is not None:
            facts["default"] = key.default
        inner["properties"][last] = facts
    return schema


def _schema(hint: Any) -> dict[str, Any]:
    """The JSON schema of a value of the type `hint`."""
    origin = get_origin(hint)
    if origin is Literal:
        return {"enum": list(get_args(hint))}
    if origin in (Union, types.UnionType):
        options = [each for each in get_args(hint) if each is not types.NoneType]
        words = [word for each in options if get_origin(each) is Literal for word in get_args(each)]
        others = [_schema(each) for each in options if get_origin(each) is not Literal]
        if not others:
            return {"enum": words}
        constants = [{"const": word} for word in words]
        return {"anyOf": [*others, *constants]} if words else others[0]
    if origin is tuple:
        return {"type": "array", "items": _schema(get_args(hint)[0])}
    return {"type": _JSON_TYPES[hint]}


def _words(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(map(_toml, schema["enum"]))
    if "anyOf" in schema:
        return " or ".join(_words(each) for each in schema["anyOf"])
    if "const" in schema:
        return _toml(schema["const"])
    if schema["type"] == "array":
        return f"list of {_words(schema['items'])}s"
    return str(schema["type"])


def _toml(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()
