"""A run: a metrics artifact and the artifacts that it was made from, found in the store by fingerprint."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xmcpipe.artifacts.containing import store_of
from xmcpipe.artifacts.manifest import SOURCE
from xmcpipe.artifacts.store import Artifact, Store
from xmcpipe.errors import XmcpipeError
from xmcpipe.measuring.metrics_json import read_metrics

# The settings that make the best default names of runs, if the runs differ in them; others are used last.
NAMING_SETTINGS = (
    "train.head.kind",
    "train.memory",
    "train.head.fan_in",
    "train.head.group",
    "train.loss",
    "train.epochs",
    "train.max_steps",
    "train.seed",
)
BASELINE = "baseline"  # the stage that makes the predictions of a baseline
MAX_SETTINGS = 3  # in a default name
MAX_NAME = 80  # characters


@dataclass(frozen=True)
class Run:
    """A finished chain of artifacts.

    `artifacts` maps kinds, in the order of the chain, to the artifacts that still exist. `absent` maps the
    kinds of deleted artifacts to their fingerprints. `metrics` is the content of metrics.json, as
    `read_metrics` returns it. `recipe` is the name of the recipe, "" if it is unknown.
    """

    name: str
    artifacts: dict[str, Artifact]
    absent: dict[str, str]
    metrics: dict[str, Any]
    recipe: str = ""

    def folder(self, kind: str) -> Path | None:
        """The folder of the artifact of this kind; None if it was deleted or was never part of the run."""
        artifact = self.artifacts.get(kind)
        return None if artifact is None else artifact.path

    def figures(self, kind: str) -> dict[str, Any]:
        """The headline figures in the manifest of the artifact of this kind; empty if it was deleted."""
        artifact = self.artifacts.get(kind)
        return {} if artifact is None else artifact.manifest.figures

    @property
    def baseline(self) -> str | None:
        """The system, if these predictions are of `xmcpipe baseline` and not of a model; else None."""
        predictions = self.artifacts.get("predictions")
        if predictions is None or predictions.manifest.stage != BASELINE:
            return None
        return str(predictions.manifest.config["system"])

    @property
    def test_set(self) -> str:
        """A fingerprint of the test documents: runs with equal values can be compared document by document.

        It is that of the raw artifact, or that of the shards if these were deleted.
        """
        shards = self.artifacts.get("shards")
        inputs = self.artifacts["metrics"].manifest.inputs
        return inputs.get("shards", "") if shards is None else shards.manifest.inputs.get("raw", "")

    @property
    def dataset(self) -> str | None:
        """The name of the dataset for `xmcpipe download`, else the one in the figures of the raw artifact."""
        raw = self.artifacts.get("raw")
        if raw is None:
            return None
        return str(raw.manifest.config.get("dataset") or raw.manifest.figures.get("dataset") or "") or None

    @property
    def settings(self) -> dict[str, Any]:
        """ "stage.key" -> value, for all artifacts that exist; keys of nested tables are dotted.

        The value of a key that was "auto" is the one that the stage chose.
        """
        return {
            key: value
            for artifact in self.artifacts.values()
            for table in (artifact.manifest.config, artifact.manifest.figures.get("auto", {}))
            for key, value in _flat(table, f"{artifact.manifest.stage}.")
        }


def metrics_of(folder: Path, store: Store) -> Artifact:
    """The metrics artifact in `folder`; for a model or predictions, the newest metrics made from them.

    Metrics are searched in the store that contains `folder`, then in `store`. Raises XmcpipeError if there
    are none, or if `folder` is not an artifact of metrics, predictions or a model.
    """
    artifact = Artifact.at(folder)
    kind, name = artifact.manifest.kind, artifact.manifest.fingerprint
    if kind == "metrics":
        return artifact
    if kind not in ("model", "predictions"):
        raise XmcpipeError(
            f"expected a run, got an artifact of {kind} in {folder}",
            "name a recipe, or the folder of metrics, predictions or a model",
        )
    # If the folder is in another store, its metrics are most likely there too.
    for place in (store_of(artifact) or store, store):
        descendants = [
            metrics for metrics in place.all("metrics") if name in _ancestry(place, metrics).values()
        ]
        if descendants:
            return max(descendants, key=lambda metrics: str(metrics.manifest.made_by.get("started", "")))
    commands = "predict` and `xmcpipe eval" if kind == "model" else "eval"
    raise XmcpipeError(
        f"the {kind} in {folder} has no metrics in {store.root} yet",
        f"run `xmcpipe {commands}` with its recipe",
    )


def read_run(metrics: Artifact, store: Store, name: str = "", recipe: str = "") -> Run:
    """The run with these metrics. The other artifacts of its chain are found by their fingerprints."""
    metrics.manifest.require("metrics", metrics.manifest.schema_version)
    place = store_of(metrics) or store
    names = {**_ancestry(place, metrics), "metrics": metrics.manifest.fingerprint}
    chain = {kind: place.find(kind, name) or store.find(kind, name) for kind, name in names.items()}
    chain["metrics"] = metrics  # this folder, even if the store has another copy
    artifacts = {kind: artifact for kind, artifact in chain.items() if artifact is not None}
    absent = {kind: names[kind] for kind, artifact in chain.items() if artifact is None}
    recipe = " ".join((recipe or _recorded_name(artifacts)).split())[:MAX_NAME]
    return Run(name, artifacts, absent, read_metrics(metrics.path), recipe)


def _recorded_name(artifacts: Mapping[str, Artifact]) -> str:
    """The name of the recipe with which the model was trained, "" if it is unknown."""
    if "model" not in artifacts:
        return ""
    return str(artifacts["model"].manifest.made_by.get("runtime", {}).get("run_name", ""))


def named(runs: Sequence[Run], names: Sequence[str] = ()) -> list[Run]:
    """The runs, each with a short and distinct name: from `names`, or from the settings in which they differ.

    Raises XmcpipeError unless there is one name per run, and for a name that is empty, too long or repeated.
    """
    names = [" ".join(name.split()) for name in names]
    if names and len(names) != len(runs):
        raise XmcpipeError(
            f"expected one --name per run, got {len(names)} for {len(runs)} runs", "add or remove --name"
        )
    for at, name in enumerate(names):
        if not 0 < len(name) <= MAX_NAME:
            raise XmcpipeError(
                f"expected a --name of 1 to {MAX_NAME} characters, got {len(name)}: {name[:MAX_NAME]!r}",
                "give each run a short --name",
            )
        if name in names[:at]:
            raise XmcpipeError(
                f"expected distinct names, got --name {name!r} twice", "name each run differently"
            )
    return [replace(run, name=name) for run, name in zip(runs, names or _default_names(runs), strict=True)]


def differing(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """Setting -> its value in each run (None if it has none), for the settings that differ between runs.

    Settings of a stage are omitted if its artifact was deleted from any of the runs: whether they differ is
    unknown. Models and baselines have different stages, so this is decided for each of the two alone.
    """
    tables = [run.settings for run in runs]
    known = set[str]().union(*map(_stages, runs)) - set(unknown_stages(runs))
    keys = dict.fromkeys(key for table in tables for key in table)
    values = {key: [table.get(key) for table in tables] for key in keys if key.split(".")[0] in known}
    return {key: row for key, row in values.items() if any(value != row[0] for value in row[1:])}


def unknown_stages(runs: Sequence[Run]) -> list[str]:
    """The stages whose settings are known for some runs only, since the artifacts of others were deleted."""
    kinds = [[run for run in runs if (run.baseline is None) == is_model] for is_model in (True, False)]
    unknown: set[str] = set()
    for stages in ([_stages(run) for run in kind] for kind in kinds if kind):
        unknown |= set[str]().union(*stages) - stages[0].intersection(*stages)
    return sorted(unknown)


def _stages(run: Run) -> set[str]:
    return {artifact.manifest.stage for artifact in run.artifacts.values()}


def known_datasets(runs: Sequence[Run]) -> list[str]:
    """The distinct names of the datasets; a run whose raw artifact was deleted adds none."""
    return list(dict.fromkeys(run.dataset for run in runs if run.dataset))


def _default_names(runs: Sequence[Run]) -> list[str]:
    """Names of models: those of their recipes or, if two are equal, a few settings that differ.

    A baseline is named like its system. Equal names get a fingerprint appended.
    """
    models = [run for run in runs if run.baseline is None]
    rows = differing(models) if len(models) > 1 else {}
    keys = [key for key in NAMING_SETTINGS if key in rows]
    keys += [key for key in rows if key not in NAMING_SETTINGS]
    keys = [key for key in keys if None not in rows[key]][:MAX_SETTINGS]
    of_models: Iterator[str] = iter(
        " · ".join(_name_part(key, rows[key][at]) for key in keys) for at in range(len(models))
    )
    recipes = [run.recipe for run in models]
    if all(recipes) and len(set(recipes)) == len(recipes):
        of_models = iter(recipes)
    elif not keys:  # one model, or models with equal settings
        of_models = iter(str(run.settings.get("train.head.kind") or "run") for run in models)
    names = [run.baseline or next(of_models) for run in runs]
    return [
        f"{name} {run.artifacts['metrics'].manifest.fingerprint[:8]}" if names.count(name) > 1 else name
        for name, run in zip(names, runs, strict=True)
    ]


def _name_part(key: str, value: Any) -> str:
    """A setting as part of a name: the value alone if it is a word, else the key and the value."""
    short = key.rpartition(".")[2].replace("_", " ")
    return str(value) if isinstance(value, str) and value else f"{short} {value}"


def _ancestry(store: Store, artifact: Artifact) -> dict[str, str]:
    """Kind -> fingerprint of all direct and indirect inputs of an artifact, as far as the store knows them.

    Kinds are in the order of the chain, because each kind comes after its own inputs. If a kind occurs twice
    (for example when model and predictions have different shards), the first one found counts.
    """
    inputs = {kind: name for kind, name in artifact.manifest.inputs.items() if kind != SOURCE}
    parents = {kind: store.find(kind, name) for kind, name in inputs.items()}
    names: dict[str, str] = {}
    # Deleted artifacts come last: their own inputs are unknown, so they would be placed before the raw data.
    for kind, name in sorted(inputs.items(), key=lambda item: parents[item[0]] is None):
        parent = parents[kind]
        ancestors = _ancestry(store, parent) if parent else {}
        ancestors.pop(kind, None)  # a model with labels added comes of a model: the former counts
        for ancestor_kind, ancestor_name in [*ancestors.items(), (kind, name)]:
            names.setdefault(ancestor_kind, ancestor_name)
    return names


def _flat(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) for all keys of a table and of its nested tables."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
