"""Plans that were made before. Making one takes seconds: the trainer runs on a model without memory.

A plan is a function of the recipe, the shape of the data, the encoder's config and this program's code. Plans
are kept in the cache folder under a hash of all these. Those of the recipes of public datasets come with the
program, in planned.json, which `python -m tools.planned_bytes` writes: `xmcpipe datasets` makes no plan.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from xmcpipe import cache as cache_folder
from xmcpipe.artifacts.fingerprint import fingerprint, sha256_of_file
from xmcpipe.artifacts.store import Artifact
from xmcpipe.config import to_table
from xmcpipe.json_file import parse_json
from xmcpipe.machine.processor import multiplies
from xmcpipe.memory.predicted import Floor, Plan
from xmcpipe.memory.recipe_plan import RecipePlan, data_shape, encoder_name, plan_recipe
from xmcpipe.memory.shape import DataShape
from xmcpipe.modeling.encoder import KNOWN, locate

PLAN_VERSION = 1  # of the files in the cache
PLANNED = Path(__file__).with_name("planned.json")
_PACKAGE = Path(__file__).parent.parent
CODE = ("memory", "modeling", "ops", "training")  # the packages on which a plan depends
LIBRARIES = ("torch", "transformers", "torch-optimi")


def cached_plan(
    configs: Mapping[str, Any], artifacts: Mapping[str, Artifact | None], stated: DataShape, device: str
) -> RecipePlan:
    """The plan that `plan_recipe` makes; read, if it comes with the program or was made before.

    Raises XmcpipeError as that function.
    """
    identity = plan_identity(configs, artifacts, stated, device)
    if (known := _that_come_with_the_program().get(identity)) is not None:
        return known
    code = {"code": _code(), **{name: _version(name) for name in LIBRARIES}}
    name = fingerprint("plan", PLAN_VERSION, {}, {"of": identity, **code})
    path = cache_folder.folder("plans") / f"{name}.json"
    planned = _read(path)
    if planned is None:
        planned = plan_recipe(configs, artifacts, stated, device)
        _write(path, planned)
    return planned


@cache
def _that_come_with_the_program() -> dict[str, RecipePlan]:
    """The plans of planned.json, by their identities."""
    table = parse_json(PLANNED.read_text(encoding="utf-8"))
    return {each["identity"]: _from_table(each["plan"]) for each in table.values()}


def plan_identity(
    configs: Mapping[str, Any], artifacts: Mapping[str, Artifact | None], stated: DataShape, device: str
) -> str:
    """A hash of everything that a plan depends on, except the program's code and libraries."""
    encoder = encoder_name(configs["train"], configs, artifacts)
    described = {
        "train": to_table(configs["train"], keys="identity"),
        "data": asdict(data_shape(configs, artifacts, stated)),
        "encoder": _encoder(encoder),
        "device": device if device != "cpu" else _cpu(configs["train"].precision),
    }
    return fingerprint("plan", PLAN_VERSION, described, {})


def _cpu(precision: str) -> str:
    """ "cpu", and what it computes in if that is not `precision`: then it stores no casts of the weights."""
    return "cpu" if multiplies(precision) else "cpu, float32"


def _encoder(name: str) -> str:
    """The encoder's name or, if it is on this machine, the hash of its config."""
    config = Path(locate(name)) / "config.json" if name not in KNOWN else None
    return f"{name} {sha256_of_file(config)}" if config and config.is_file() else name


def _version(library: str) -> str:
    """The version of a library, "" if it is absent: the plan itself says whether it can do without."""
    try:
        return version(library)
    except PackageNotFoundError:
        return ""


@cache
def _code() -> str:
    """A hash of the code that makes plans."""
    digest = hashlib.sha256()
    for path in sorted(path for package in CODE for path in (_PACKAGE / package).rglob("*.py")):
        digest.update(str(path.relative_to(_PACKAGE)).encode() + path.read_bytes())
    return digest.hexdigest()


def _read(path: Path) -> RecipePlan | None:
    """The plan in a file of the cache; None if there is none, or it can't be read."""
    try:
        return _from_table(parse_json(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _from_table(table: Mapping[str, Any]) -> RecipePlan:
    """The plan of which `table` has all values, in JSON types."""
    plans = [Plan(**{**each, "floor": Floor(**each["floor"])}) for each in table["plans"]]
    made = {"data": DataShape(**table["data"]), "plans": plans, "steps": tuple(table["steps"])}
    return RecipePlan(**{**table, **made})


def _write(path: Path, planned: RecipePlan) -> None:
    """Write a plan into the cache, in one step. A cache that can't be written costs time only."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(json.dumps(asdict(planned)), encoding="utf-8")
        unfinished.rename(path)
    except OSError:
        pass
