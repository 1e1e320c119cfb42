"""From a recipe to its chain of stages, and to its model."""

from collections.abc import Mapping
from pathlib import Path

from xmcpipe.artifacts.store import Artifact, Store
from xmcpipe.recipe import Recipe
from xmcpipe.stages import catalog
from xmcpipe.stages.chain import Chain


def open_chain(recipe: Recipe, store: Path, inputs: Mapping[str, Path | None] | None = None) -> Chain:
    """The chain of `recipe` in the store at `store`, without stages beside the chain.

    `inputs` maps kinds of artifacts to the folders that the user named instead of those in the store.
    """
    artifacts = {kind: Artifact.at(path) for kind, path in (inputs or {}).items() if path is not None}
    beside = {stage.name for stage in catalog.CATALOG if stage.beside}
    configs = {name: config for name, config in recipe.configs.items() if name not in beside}
    return Chain(Store(store), configs, artifacts)


def model_folder(recipe: Recipe, store: Path) -> Path:
    """The folder of the recipe's model. Raises XmcpipeError if it isn't trained yet."""
    chain = open_chain(recipe, store)
    chain.require_inputs(chain.stage("predict"), ["model"])
    artifact = chain.input("model")[1]
    assert artifact, "required above"
    return artifact.path
