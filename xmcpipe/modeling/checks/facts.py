"""The types of what model.json says beside the shape of the model: who reads it later takes them as given.

A key may be absent, since models of older versions have fewer; `checks.folder` checks the shape.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from xmcpipe.config import MOST_INT
from xmcpipe.json_file import is_of_kind

Kind = tuple[type, ...]
TABLE, TEXT, SWITCH, COUNT, NUMBER = (dict,), (str,), (bool,), (int,), (int, float)
NAMES = {TABLE: "a table", TEXT: "a string", SWITCH: "true or false", COUNT: "a count", NUMBER: "a number"}
MOST = 1 << 40  # of a count
# The path of each key, and what it has to be.
KINDS: dict[tuple[str, ...], Kind] = {
    ("documents",): COUNT,
    ("figures",): TABLE,
    ("figures", "validation"): TABLE,
    ("recipe",): TABLE,
    ("recipe", "tokenize"): TABLE,
    ("recipe", "tokenize", "encoder"): TEXT,
    ("recipe", "train"): TABLE,
    ("recipe", "train", "loss"): TEXT,
    ("recipe", "train", "validation"): NUMBER,
    ("recipe", "train", "validation_max"): COUNT,
    ("recipe", "train", "encoder"): TABLE,
    ("recipe", "train", "encoder", "name"): TEXT,
    ("recipe", "train", "encoder", "frozen"): SWITCH,
    ("recipe", "train", "head"): TABLE,
}


def require_facts(facts: Mapping[str, Any]) -> None:
    """Raise ValueError for a value of model.json that is of another type or out of range.

    JSON has no infinity, but Python reads 1e999 as one; a file with it could not be written again.
    """
    json.dumps(facts, allow_nan=False)
    for (*above, key), kind in KINDS.items():
        table = _table(facts, above)
        if key in table:
            _require(table[key], kind, ".".join((*above, key)))
    for name, value in _table(facts, ("figures", "validation")).items():
        _require(value, NUMBER, f"figures.validation.{name[:40]}")
    train = _table(facts, ("recipe", "train"))
    _require(train.get("seed", 0), COUNT, "recipe.train.seed", MOST_INT)
    if not 0 <= train.get("validation", 0.0) < 1:
        raise ValueError(f"expected recipe.train.validation from 0 to below 1, got {train['validation']}")


def _table(facts: Mapping[str, Any], path: Iterable[str]) -> Mapping[str, Any]:
    """The table at `path`, which and those above it were checked before; an absent one is empty."""
    for key in path:
        facts = facts.get(key, {})
    return facts


def _require(value: Any, kind: Kind, name: str, most: int = MOST) -> None:
    if not is_of_kind(value, kind) or (kind is COUNT and not 0 <= value <= most):
        raise ValueError(f"expected {NAMES[kind]} as {name}, got {str(value)[:40]!r}")
