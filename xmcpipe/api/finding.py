"""Where a model is that a user names, and how it orders labels.

A recipe says so in its table [predict]. A copied model has what the recipe said in a file beside its weights.
"""

import json
import os
from pathlib import Path
from typing import Any

from xmcpipe.api.chains import ModelFolders, model_of
from xmcpipe.config import from_table
from xmcpipe.errors import XmcpipeError
from xmcpipe.home import expanded
from xmcpipe.json_file import read_json_object
from xmcpipe.recipe import load as load_recipe
from xmcpipe.stages.predict import PredictConfig

RANKING = "predict.json"
KEYS = ("order", "propensity_weight")  # others are wishes of a user, not a part of the model
MOST_BYTES = 1 << 16


def ranking_text(config: PredictConfig) -> str:
    """The content of the file for a model that `config` belongs to."""
    return json.dumps({key: getattr(config, key) for key in KEYS}, indent=1) + "\n"


def read_ranking(folder: Path) -> dict[str, Any]:
    """Keys of [predict] for the model in `folder`; none if it has no such file.

    Raises XmcpipeError for a file that can't be read, other keys, and values that [predict] refuses.
    """
    path = folder / RANKING
    if not path.exists():
        return {}
    try:
        table = read_json_object(path, MOST_BYTES)
    except (OSError, ValueError) as error:
        raise XmcpipeError(f"{path}: {error}", "remove the file, or copy the model again") from error
    if unknown := sorted(table.keys() - set(KEYS)):
        raise XmcpipeError(f"{path}: expected {' and '.join(KEYS)}, got {unknown[0][:60]}", "remove the file")
    from_table(PredictConfig, table, str(path))
    return table


def find_model(
    model: str | os.PathLike[str], given: dict[str, Any], store: str | os.PathLike[str] | None
) -> tuple[ModelFolders, PredictConfig]:
    """Where a model is, and its table [predict] with the values of `given` that aren't None."""
    keys = {name: value for name, value in given.items() if value is not None}
    path = expanded(model)
    if path.is_dir():
        return ModelFolders(path), _copied(path, keys)
    if path.suffix != ".toml" and (len(path.parts) > 1 or isinstance(model, os.PathLike)):
        from xmcpipe.api.saving import HUB_ID, pull

        if isinstance(model, os.PathLike) or not HUB_ID.fullmatch(model):
            raise XmcpipeError(f"there is no folder {path}", "give the folder of a model, or a recipe")
        path = pull(model)
        return ModelFolders(path), _copied(path, keys)
    recipe = load_recipe(str(path), tables={"predict": keys})
    folders = model_of(recipe, Path(store or os.environ.get("XMCPIPE_STORE") or "artifacts"))
    return folders, recipe.configs["predict"]


def _copied(folder: Path, keys: dict[str, Any]) -> PredictConfig:
    """The table [predict] of a model without a recipe."""
    return from_table(PredictConfig, {**read_ranking(folder), **keys}, "predict")
