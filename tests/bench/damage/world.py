"""A small store in which every stage has run, and what its artifacts hold, to compare damaged runs with."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.damage.forked import Forks
from tests.encoders import write_encoder
from xmcpipe.artifacts.store import Artifact, Store
from xmcpipe.data.sources import synthetic

DOCUMENTS, LABELS = 300, 40
REST = """
[tokenize]
encoder = "{encoder}"
max_length = 32
words = "words"

[cluster]
num_clusters = 4

[embed]
pooling = "mean"

[train]
seed = 1
epochs = 2
batch_size = 32
warmup_steps = 2
validation = 0.1
log_every = 1
checkpoint_minutes = 0.0
{train}

[train.encoder]
pooling = "mean"
lr = 1e-3
{encoder_table}

[train.head]
fan_in = 8
{head}

[train.rewire]
interval = 3
growth = "{growth}"

[predict]

[eval]
rounds = 100
"""
RECIPES = {
    "paper": {
        "source": f'[download]\ndataset = "synthetic"\ndocuments = {DOCUMENTS}\nlabels = {LABELS}',
        "train": 'precision = "float32"',
        "encoder_table": "",
        "head": "",
        "growth": "random",
    },
    "light": {
        "source": '[import]\ntrain = "documents.jsonl"\ntest_every = 5',
        "train": 'memory = "light"',
        "encoder_table": "frozen = true",
        "head": 'optimizer = "sgd"\nlr = 1.0\nword_fan_in = 8',
        "growth": "documents",
    },
}
# Command -> kind of its artifact. Each recipe has one of the first two.
STAGES = {
    "download": "raw",
    "import": "raw",
    "tokenize": "shards",
    "cluster": "clusters",
    "embed": "embeddings",
    "train": "model",
    "predict": "predictions",
    "eval": "metrics",
}
VARYING = {"documents_per_second", "memory_bytes", "seconds"}


@dataclass(frozen=True)
class World:
    """A folder with recipes and their finished store.

    `digests` and `recipes` map the place of an artifact in the store to its digest and to its recipe.
    """

    folder: Path
    digests: Mapping[str, str]
    recipes: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def make(folder: Path, forks: Forks, names: tuple[str, ...] = tuple(RECIPES)) -> "World":
        """Run these recipes in the empty folder `folder`."""
        rows = [row for batch in synthetic.documents(DOCUMENTS, LABELS, 0) for row in batch.to_dicts()]
        lines = [json.dumps(row) for row in rows]
        (folder / "documents.jsonl").write_text("\n".join(lines) + "\n")
        encoder = write_encoder(folder / "encoder", sorted({w for r in rows for w in r["text"].split()}))
        recipes: dict[str, str] = {}
        for name in names:
            parts = RECIPES[name]
            text = parts["source"] + REST.format(encoder=encoder, **parts)
            (folder / f"{name}.toml").write_text(text)
            done = forks.run(["run", f"{name}.toml"], folder)
            assert done.code == 0, done.stderr
            recipes = dict.fromkeys(digests(folder / "artifacts"), name) | recipes
        return World(folder, digests(folder / "artifacts"), recipes)

    def recipe_of(self, place: str) -> str:
        """The name of the recipe that made the artifact at `place`, for example "model/0123456789abcdef"."""
        return self.recipes[place]

    def copy(self, folder: Path, without: str = "") -> None:
        """Copy everything to `folder`, without the artifacts of the kind `without`."""
        shutil.rmtree(folder, ignore_errors=True)

        def ignored(place: str, _: list[str]) -> list[str]:
            return [without] if Path(place).name == "artifacts" else []

        shutil.copytree(self.folder, folder, ignore=ignored)

    def wrong(self, folder: Path) -> list[str]:
        """The places of artifacts in the store of `folder` that verify, but differ from those here."""
        found = digests(folder / "artifacts", whole_only=True)
        return [place for place, digest in found.items() if digest != self.digests.get(place)]


def digests(store: Path, whole_only: bool = False) -> dict[str, str]:
    """KIND/NAME -> digest of what does not vary between runs; with `whole_only`, of artifacts that verify."""
    artifacts = [artifact for artifact in Store(store).all() if not (whole_only and artifact.faults())]
    return {artifact.path.relative_to(store).as_posix(): _digest(artifact) for artifact in artifacts}


def _digest(artifact: Artifact) -> str:
    digest = hashlib.sha256()
    for name in sorted(artifact.manifest.outputs):
        if "tensorboard" not in name:
            digest.update(name.encode() + _content(artifact.path / name))
    return digest.hexdigest()


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix in (".json", ".jsonl"):
        rows = content.splitlines() if path.suffix == ".jsonl" else [content]
        return json.dumps([_timeless(json.loads(row)) for row in rows], sort_keys=True).encode()
    return content


def _timeless(value: Any) -> Any:
    """JSON without what differs between two runs: times, and the memory in a model's figures."""
    if isinstance(value, dict):
        kept = {key: each for key, each in value.items() if key not in VARYING | {"figures"}}
        return {key: _timeless(each) for key, each in kept.items()}
    return value
