"""`keys`: prints the keys of a recipe, or a JSON schema of recipes for editors."""

from typing import Annotated, Any

import typer

from xmcpipe.cli.options import JsonOption
from xmcpipe.cli.output import print_json
from xmcpipe.cli.shown import echo, json_text
from xmcpipe.cli.text_table import say
from xmcpipe.config import nearest
from xmcpipe.errors import XmcpipeError
from xmcpipe.keys import Key, json_schema, key_hint, keys
from xmcpipe.stages import catalog

NameArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="STAGE[.KEY]", help="Show one table, or one key, such as train or train.head.fan_in."
    ),
]
SchemaOption = Annotated[
    bool, typer.Option("--schema", help="Print a JSON schema of recipes, with which editors check them.")
]


def keys_(name: NameArgument = None, schema: SchemaOption = False, as_json: JsonOption = False) -> None:
    """Print the keys of a recipe: type, default and meaning of each."""
    tables = {stage.name: stage.config for stage in catalog.CATALOG}
    if schema:
        if name is not None:
            raise XmcpipeError(f"expected --schema or {name}, got both", "omit one of them")
        print_json(json_schema(tables))
        return
    found = _found(name, tables)
    if as_json:
        print_json([_facts(table, key) for table, key in found])
        return
    for number, (table, key) in enumerate(found):
        if number == 0 or found[number - 1][0] != table:
            echo(("\n" if number else "") + f"[{table}]")
        default = "required" if key.required else f"default {_shown(key.default)}"
        say(f"{table}.{key.name}: {key.type}; {default}")
        say(f"    {key.text}", indent="    ")


def _found(name: str | None, tables: dict[str, type]) -> list[tuple[str, Key]]:
    """Table and key of those that `name` means: all, those of a table, or those below a dotted name."""
    if name is None:
        return [(table, key) for table, config in tables.items() for key in keys(config)]
    table, _, below = name.partition(".")
    if table not in tables:
        raise XmcpipeError(f"there is no table {table!r}", nearest(table, tables))
    every = keys(tables[table])
    found = [key for key in every if not below or key.name == below or key.name.startswith(f"{below}.")]
    if not found:
        raise XmcpipeError(f"{table}: there is no key {below!r}", key_hint(below, table, tables))
    return [(table, key) for key in found]


def _facts(table: str, key: Key) -> dict[str, Any]:
    return {
        "key": f"{table}.{key.name}",
        "type": key.type,
        "required": key.required,
        "default": key.default,
        "choices": list(key.choices),
        "text": key.text,
    }


def _shown(default: Any) -> str:
    return "none" if default is None else json_text(default)
