"""From a recipe to its chain of stages, and to its model."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from xmcpipe.artifacts.store import Artifact, Store
from xmcpipe.errors import XmcpipeError
from xmcpipe.recipe import Recipe
from xmcpipe.recipe import load as load_recipe
from xmcpipe.stages import catalog
from xmcpipe.stages.chain import Chain


def open_chain(recipe: Recipe, store: Path, inputs: Mapping[str, Path | None] | None = None) -> Chain:
    """The chain of `recipe` in the store at `store`, without stages beside the chain.

    `inputs` maps kinds of artifacts to the folders that the user named instead of those in the store.
    """
    artifacts = {kind: Artifact.at(path) for kind, path in (inputs or {}).items() if path is not None}
    beside = {stage.name for stage in catalog.CATALOG if stage.beside}
    configs = {name: config for name, config in recipe.configs.items() if name not in beside}
    if "train" in configs and (begin := getattr(configs["train"], "start_from", None)):
        configs["train"] = dataclasses.replace(configs["train"], start_from=_folder_of(begin, store))
    return Chain(Store(store), configs, artifacts)


def _folder_of(model: str, store: Path) -> str:
    """The folder of the model with which a training begins, if its recipe is trained; else `model` itself.

    Then the stage says so: other stages of the recipe don't need it.
    """
    if Path(model).is_dir():
        return model
    try:
        chain = open_chain(load_recipe(model), store)
        artifact = chain.step(chain.stage("train")).artifact
    except (XmcpipeError, RecursionError):  # a recipe that starts from itself
        return model
    return model if artifact is None else str(artifact.path)


@dataclass(frozen=True)
class ModelFolders:
    """The folder of a model, and that of its calibration: None for the one in the model's folder, if any."""

    model: Path
    calibration: Path | None = None


def model_of(recipe: Recipe, store: Path) -> ModelFolders:
    """The recipe's model and, if the recipe has a table [calibrate], its calibration.

    Raises XmcpipeError if they don't exist yet.
    """
    chain = open_chain(recipe, store)
    stage = chain.stage("predict")
    kinds = [kind for kind in ("model", "calibration") if kind in chain.inputs(stage)]
    chain.require_inputs(stage, kinds)
    found = [artifact.path for kind in kinds if (artifact := chain.input(kind)[1])]
    return ModelFolders(*found)
