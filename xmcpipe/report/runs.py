"""A run: the metrics artifact and all that it was made of, found in the store by fingerprint."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xmcpipe.artifacts.store import Artifact, Store
from xmcpipe.errors import XmcpipeError
from xmcpipe.stages.evaluate import read_metrics

KINDS = ("raw", "shards", "clusters", "model", "predictions", "metrics")  # in the order of the chain
# Of the settings in which runs differ, those that name a run best come first.
TELLING = (
    "train.head.kind",
    "train.memory",
    "train.head.fan_in",
    "train.loss",
    "train.epochs",
    "train.max_steps",
    "train.seed",
)
SHOWN_SETTINGS = 3  # in a name
LONGEST_NAME = 80


@dataclass(frozen=True)
class Run:
    """`artifacts` maps kinds to what the store still has of the chain, `absent` the others to their
    fingerprints; `metrics` is what metrics.json holds, as `read_metrics` gives it.
    """

    name: str
    artifacts: dict[str, Artifact]
    absent: dict[str, str]
    metrics: dict[str, Any]

    def folder(self, kind: str) -> Path | None:
        """The artifact's folder; None where it is gone or was never part of the run."""
        artifact = self.artifacts.get(kind)
        return None if artifact is None else artifact.path

    def figures(self, kind: str) -> dict[str, Any]:
        """The headline figures that a stage left in its manifest; empty where the artifact is gone."""
        artifact = self.artifacts.get(kind)
        return {} if artifact is None else artifact.manifest.figures

    @property
    def test_set(self) -> str:
        """What the test's documents are known by: runs of the same can be compared document by document."""
        shards = self.artifacts.get("shards")
        inputs = self.artifacts["metrics"].manifest.inputs
        return inputs.get("shards", "") if shards is None else shards.manifest.inputs.get("raw", "")

    @property
    def dataset(self) -> str | None:
        """The name that `xmcpipe download` knows the data by, or what else the raw artifact calls them."""
        raw = self.artifacts.get("raw")
        if raw is None:
            return None
        return str(raw.manifest.config.get("dataset") or raw.manifest.figures.get("dataset") or "") or None

    @property
    def settings(self) -> dict[str, Any]:
        """ "stage.key" -> value of every artifact that is there; tables are flattened."""
        return {
            key: value
            for artifact in self.artifacts.values()
            for key, value in _flat(artifact.manifest.config, f"{artifact.manifest.stage}.")
        }


def metrics_of(folder: Path, store: Store) -> Artifact:
    """The metrics artifact that `folder` is, or (of a model or of predictions) the newest made of it.

    Looked for in the store that `folder` lies in, then in `store`. Raises XmcpipeError where there is none,
    or the folder is an artifact of another kind or none.
    """
    artifact = Artifact.at(folder)
    kind, name = artifact.manifest.kind, artifact.manifest.fingerprint
    if kind == "metrics":
        return artifact
    if kind not in ("model", "predictions"):
        raise XmcpipeError(
            f"{folder} holds {kind}, a run was wanted",
            "name a recipe, or the folder of metrics, predictions or a model",
        )
    for place in (store_of(artifact, store), store):
        found = [each for each in place.all("metrics") if name in _ancestry(place, each).values()]
        if found:
            return max(found, key=lambda each: str(each.manifest.made_by.get("started", "")))
    stage = "predict` and `xmcpipe eval" if kind == "model" else "eval"
    raise XmcpipeError(
        f"the {kind} in {folder} has no metrics in {store.root} yet", f"run `xmcpipe {stage}` with its recipe"
    )


def store_of(artifact: Artifact, otherwise: Store) -> Store:
    """The store in which an artifact lies, where its path is one of a store."""
    path, manifest = artifact.path.resolve(), artifact.manifest
    own = Store(path.parents[1])
    return own if own.place(manifest.kind, manifest.fingerprint) == path else otherwise


def read_run(metrics: Artifact, store: Store, name: str = "") -> Run:
    """The run whose metrics these are, walking the fingerprints through its store."""
    metrics.manifest.require("metrics", metrics.manifest.schema_version)
    place = store_of(metrics, store)
    names = {**_ancestry(place, metrics), "metrics": metrics.manifest.fingerprint}
    found = {kind: place.find(kind, name) or store.find(kind, name) for kind, name in names.items()}
    found["metrics"] = metrics
    artifacts = {kind: each for kind in KINDS if (each := found.get(kind)) is not None}
    absent = {kind: names[kind] for kind in KINDS if kind in names and found[kind] is None}
    return Run(name, artifacts, absent, read_metrics(metrics.path))


def named(runs: Sequence[Run], names: Sequence[str] = ()) -> list[Run]:
    """The runs with a short name each, all different: given, or made of the settings in which they differ.

    Raises XmcpipeError for another number of `names`, or one given twice.
    """
    names = [" ".join(name.split()) for name in names]
    if names and len(names) != len(runs):
        raise XmcpipeError(f"{len(names)} names were given for {len(runs)} runs", "give each run one --name")
    for at, name in enumerate(names):
        if not 0 < len(name) <= LONGEST_NAME:
            raise XmcpipeError(
                f"--name {name[:LONGEST_NAME]!r} has {len(name)} characters, 1 to {LONGEST_NAME} were wanted",
                "give each run a short --name",
            )
        if name in names[:at]:
            raise XmcpipeError(f"--name {name!r} was given twice", "give each run a --name of its own")
    return [replace(run, name=name) for run, name in zip(runs, names or _made_names(runs), strict=True)]


def differing(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """Setting -> its value in each run (None where it has none), for those that aren't the same in all.

    Settings of a stage whose artifact is gone from some run are left out: they aren't known to differ.
    """
    tables = [run.settings for run in runs]
    stages = [{each.manifest.stage for each in run.artifacts.values()} for run in runs]
    known = set.intersection(*stages)
    keys = dict.fromkeys(key for table in tables for key in table)
    values = {key: [table.get(key) for table in tables] for key in keys if key.split(".")[0] in known}
    return {key: row for key, row in values.items() if any(value != row[0] for value in row[1:])}


def unknown_stages(runs: Sequence[Run]) -> list[str]:
    """Stages whose settings some run has and another, its artifact gone, has not."""
    stages = [{each.manifest.stage for each in run.artifacts.values()} for run in runs]
    return sorted(stage for stage in set.union(*stages) if any(stage not in mine for mine in stages))


def known_datasets(runs: Sequence[Run]) -> list[str]:
    """The names of the datasets, each once; a run whose raw artifact is gone adds none."""
    return list(dict.fromkeys(run.dataset for run in runs if run.dataset))


def _made_names(runs: Sequence[Run]) -> list[str]:
    rows = differing(runs) if len(runs) > 1 else {}
    keys = [key for key in TELLING if key in rows] + [key for key in rows if key not in TELLING]
    keys = [key for key in keys if None not in rows[key]][:SHOWN_SETTINGS]
    names = [" · ".join(_told(key, rows[key][at]) for key in keys) for at in range(len(runs))]
    if not keys:
        names = [str(run.settings.get("train.head.kind") or "run") for run in runs]
    return [
        f"{name} {run.artifacts['metrics'].manifest.fingerprint[:8]}" if names.count(name) > 1 else name
        for name, run in zip(names, runs, strict=True)
    ]


def _told(key: str, value: Any) -> str:
    """A setting in a name: words speak for themselves, numbers want their key."""
    short = key.rpartition(".")[2].replace("_", " ")
    return str(value) if isinstance(value, str) and value else f"{short} {value}"


def _ancestry(store: Store, artifact: Artifact) -> dict[str, str]:
    """Kind -> fingerprint of all that an artifact was made of, as far as the store can tell."""
    names: dict[str, str] = {}
    for kind, name in artifact.manifest.inputs.items():
        if kind not in KINDS:
            continue
        names.setdefault(kind, name)
        if parent := store.find(kind, name):
            names = {**_ancestry(store, parent), **names}
    return names


def _flat(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
