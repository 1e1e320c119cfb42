"""Finds the systems that `eval` measures, as recipes, artifacts or files, and what belongs to them."""

from pathlib import Path
from typing import Any

from xmcpipe.artifacts.store import Artifact, Store
from xmcpipe.cli.session import artifact_of_recipe
from xmcpipe.errors import XmcpipeError
from xmcpipe.measuring.files import EvalInputs


def systems_of(compare: tuple[str, str], settings: list[str] | None, store: Path) -> tuple[Path, Path]:
    """The folders or files of two systems; a recipe stands for its predictions in the store."""
    first, second = (
        Path(name) if is_file(name) else artifact_of_recipe(name, settings, store, "predictions").path
        for name in compare
    )
    return first, second


def is_file(name: str) -> bool:
    """Whether a name is that of a folder or file with predictions, and not of a recipe."""
    return Path(name).is_dir() or (Path(name).suffix not in ("", ".toml"))


def constants_of(compare: tuple[Path, Path], store: Path, names: set[str]) -> dict[str, Any]:
    """The constants of PSP with which the two systems were measured, by key of [eval].

    `names` are those of a, b and propensity that the user did not set. Returns {} if the store has no metrics
    of the two systems. Raises XmcpipeError if they were measured with different constants.
    """
    systems = {Artifact.at(path).manifest.fingerprint for path in compare}
    tables = [
        {key: value for key, value in metrics.manifest.config.items() if key in names}
        for metrics in Store(store).all("metrics")
        if metrics.manifest.inputs.get("predictions") in systems
    ]
    if any(other != tables[0] for other in tables[1:]):
        raise XmcpipeError(
            f"the two systems were measured with {tables[0]} and "
            f"{next(other for other in tables if other != tables[0])}",
            "choose with --a and --b, or --recipe",
        )
    return tables[0] if tables else {}


def inputs_of(compare: tuple[Path, ...], shards: Path | None, store: Path) -> EvalInputs:
    """The inputs to measure one or two predictions artifacts, with truth and training labels of their shards.

    `shards` overrides the shards of the store. A baseline has none: its documents are joined by id with those
    of the other system. Raises XmcpipeError if the shards are missing or not the same.
    """
    manifests = [Artifact.at(path).manifest for path in compare]
    fingerprints = {name for manifest in manifests if (name := manifest.inputs.get("shards"))} or {""}
    if shards is None and len(fingerprints) > 1:
        raise XmcpipeError(
            f"{compare[0]} and {compare[1]} were predicted on different shards",
            "name the shards or files to measure both against, with --shards or --truth",
        )
    if shards is None:
        artifact = Store(store).find("shards", fingerprints.pop())
        if artifact is None:
            raise XmcpipeError(
                f"the shards that both were predicted on are not in {store}",
                "name the truth with --truth, or the shards with --shards",
            )
        shards = artifact.path
    return EvalInputs(compare, shards, shards)
