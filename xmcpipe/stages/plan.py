"""`plan`: what a recipe's training will need, from its shards where they exist, else from what is stated.

Not a stage: nothing is made. It stands here because it reads what stages have made.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmcpipe.artifacts.store import Artifact
from xmcpipe.clustering.config import default_clusters
from xmcpipe.errors import XmcpipeError
from xmcpipe.training.config import TrainConfig

if TYPE_CHECKING:
    from xmcpipe.memory.plan import Plan

POSITIVES = 5.0  # labels a document, where nobody says how many


@dataclass(frozen=True)
class DataShape:
    """What memory depends on in the data; 0: not known.

    L labels, N documents, tokens of the longest of them, labels a document on average, C clusters of labels,
    and label texts that are training documents beside the N.
    """

    labels: int = 0
    documents: int = 0
    tokens: int = 0
    positives: float = 0.0
    clusters: int = 0
    label_texts: int = 0

    def or_else(self, other: "DataShape") -> "DataShape":
        """This, and what isn't known of it from `other`."""
        return DataShape(*(mine or theirs for mine, theirs in zip(*map(_values, (self, other)), strict=True)))

    @property
    def rows(self) -> int:
        """What is trained on, the validation split among it; 0 where the documents aren't known."""
        return self.documents + self.label_texts if self.documents else 0

    @property
    def positives_a_row(self) -> float:
        """Labels a row on average: a label's text has one."""
        if not self.rows:
            return self.positives
        return (self.documents * self.positives + self.label_texts) / self.rows


@dataclass(frozen=True)
class Planned:
    """`plans`: of the recipe's own `memory`, then of the other one, if there is one.

    `process`: bytes that a process has resident which has imported what training imports. `steps`: optimizer
    steps of an epoch and of the whole training, 0 where the number of documents isn't known.
    """

    data: DataShape
    batch: int
    encoder: str
    plans: list["Plan"]
    process: int
    steps: tuple[int, int]


def run(
    configs: Mapping[str, Any], artifacts: Mapping[str, Artifact | None], stated: DataShape, device: str
) -> Planned:
    """The plans of a recipe's `configs` on `device`, "cpu" or "cuda".

    `artifacts` maps "shards" and "clusters" to what exists of them. Raises XmcpipeError where the number of
    labels or the encoder isn't known, for an encoder whose config can't be found, and for K > D.
    """
    from xmcpipe.memory.plan import other_memory, plan
    from xmcpipe.memory.shape import StepShape
    from xmcpipe.training.used_memory import host_bytes

    config: TrainConfig = configs["train"]
    data = known(configs, artifacts, stated)
    name = encoder_name(config, configs, artifacts)
    make_encoder = _maker(name, data.tokens)
    rows = min(config.batch_size, data.rows or config.batch_size)
    shape = StepShape(data.labels, data.clusters, rows, data.tokens, round(rows * data.positives_a_row))
    plans, process = [], 0
    for way in (config, other_memory(config)):
        if way is not None:
            plans.append(plan(way, make_encoder, shape, device, data.rows))
            process = process or host_bytes()  # now that all is imported
    return Planned(data, rows, name, plans, process, _steps(config, data))


def _steps(config: TrainConfig, data: DataShape) -> tuple[int, int]:
    aside = min(int(config.validation * data.documents), config.validation_max)
    an_epoch = -(-max(data.rows - aside, 0) // (config.batch_size * config.accumulation))
    whole = an_epoch * config.epochs
    return an_epoch, min(whole, config.max_steps) if config.max_steps else whole


def known(
    configs: Mapping[str, Any], artifacts: Mapping[str, Artifact | None], stated: DataShape
) -> DataShape:
    """What is stated, filled up from the shards and clusters that exist, then from the recipe."""
    shards, clusters = artifacts.get("shards"), artifacts.get("clusters")
    with_texts = configs["train"].label_features
    if shards is None:  # as far as anybody knows, every label has a text
        data = stated.or_else(DataShape(label_texts=stated.labels if with_texts else 0))
    else:
        data = stated.or_else(_of_shards(shards.path, with_texts))
    if not data.labels:
        raise XmcpipeError(
            "the number of labels isn't known: the shards of this recipe are not in the store",
            "give --labels N, or run `xmcpipe tokenize` first",
        )
    tokenize = configs.get("tokenize")
    data = data.or_else(DataShape(tokens=tokenize.max_length if tokenize else 128, positives=POSITIVES))
    if not configs["train"].auxiliary.weight:
        return replace(data, clusters=0)
    if clusters is not None:
        data = data.or_else(DataShape(clusters=_count_clusters(clusters.path)))
    of_recipe = getattr(configs.get("cluster"), "num_clusters", 0) or default_clusters(data.labels)
    return data.or_else(DataShape(clusters=of_recipe))


def encoder_name(
    config: TrainConfig, configs: Mapping[str, Any], artifacts: Mapping[str, Artifact | None]
) -> str:
    """The encoder that is trained: the one named, or the one that the shards are tokenized for."""
    shards, tokenize = artifacts.get("shards"), configs.get("tokenize")
    name = config.encoder.name or (
        shards.manifest.config["encoder"] if shards else getattr(tokenize, "encoder", "")
    )
    if not name:
        raise XmcpipeError("no encoder is named", "give --set train.encoder.name=NAME")
    return str(name)


def _maker(name: str, tokens: int) -> Callable[[], Any]:
    """What makes the encoder called `name`, of which only config.json is read."""
    from xmcpipe.modeling.encoder import from_config, locate

    locate(name)  # a folder or package that isn't there is the user's fault

    def make() -> Any:
        try:
            encoder = from_config(name)
        except (OSError, ValueError) as error:
            raise XmcpipeError(
                f"the config of encoder {name!r} can't be read: {str(error).strip().splitlines()[0]}",
                "offline, name a folder with its config.json",
            ) from error
        most = getattr(encoder.config, "max_position_embeddings", None)
        if most and tokens > most:
            raise XmcpipeError(f"{tokens} tokens were given, {name} takes at most {most}", "lower --tokens")
        return encoder

    return make


def _of_shards(folder: Path, with_texts: bool) -> DataShape:
    import pyarrow.parquet as pq

    from xmcpipe.data.shards.files import Shards

    shards = Shards(folder, "train")
    texts = Shards(folder, "label") if with_texts else None
    documents = len(shards)
    longest = max(int(each.lengths.max(initial=0)) for each in (shards, texts) if each is not None)
    return DataShape(
        labels=pq.ParquetFile(folder / "labels.parquet").metadata.num_rows,
        documents=documents,
        tokens=longest,
        positives=int(shards.labels.lengths.sum(dtype="int64")) / max(documents, 1),
        label_texts=len(texts) if texts is not None else 0,
    )


def _count_clusters(folder: Path) -> int:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    return int(pc.max(pq.read_table(folder / "clusters.parquet")["cluster"]).as_py()) + 1


def _values(shape: DataShape) -> tuple[Any, ...]:
    return tuple(getattr(shape, field.name) for field in fields(shape))
