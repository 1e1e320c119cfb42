"""The memory plan of a recipe: from its shards and clusters if they exist, otherwise from a stated shape."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xmcpipe.artifacts.store import Artifact
from xmcpipe.clustering.config import default_clusters
from xmcpipe.config import AUTO
from xmcpipe.errors import XmcpipeError
from xmcpipe.memory.predicted import Plan
from xmcpipe.memory.shape import BatchShape, DataShape
from xmcpipe.pieces import Pieces
from xmcpipe.training.auto import Facts, choose, chosen_values, schedule_warnings
from xmcpipe.training.config import TrainConfig, TrainTable
from xmcpipe.training.schedule import Steps, num_held_out

POSITIVES = 5.0  # assumed mean number of labels of a document, if unknown
# What training imports, and a plan of a known encoder doesn't, with resident bytes.
IMPORTED_LATER = {"transformers.modeling_utils": 67 << 20, "torch._dynamo": 72 << 20}
TOKENS = 128  # assumed length of a document, if the recipe has no [tokenize] table


@dataclass(frozen=True)
class RecipePlan:
    """The plans of a recipe's training.

    `plans`: first with the recipe's own `memory`, then with the other one if the head supports it. `process`:
    resident bytes of a process that has imported what training imports. `steps`: optimizer steps of an epoch
    and of the whole training, 0 if the number of documents is unknown. `chosen`: dotted key -> value of the
    keys of [train] that are "auto". `warnings`: lines about a schedule that can't work; none if the number of
    documents is unknown.
    """

    data: DataShape
    batch: int
    encoder: str
    plans: list[Plan]
    process: int
    steps: tuple[int, int]
    chosen: dict[str, Any]
    warnings: list[str]


def plan_recipe(
    configs: Mapping[str, Any], artifacts: Mapping[str, Artifact | None], stated: DataShape, device: str
) -> RecipePlan:
    """The plans of a recipe's `configs` on `device`, "cpu" or "cuda".

    `artifacts` maps "shards" and "clusters" to existing artifacts or None; `stated` values override theirs.
    Raises XmcpipeError if the number of labels or the encoder is unknown, for an encoder whose config can't
    be found, and for K > D.
    """
    from xmcpipe.memory.plan import other_memory, plan
    from xmcpipe.training.used_memory import host_bytes

    table: TrainTable = configs["train"]
    data = data_shape(configs, artifacts, stated)
    name = encoder_name(table, configs, artifacts)
    facts = _facts(table, data, name)
    config = choose(table, facts)
    if not config.auxiliary.weight:  # with clusters, but with an encoder that isn't trained
        data = replace(data, clusters=0)
    make_encoder = _encoder_factory(name, data.piece_length or data.tokens, config.encoder.checkpointing)
    shape = _batch_shape(config, data)
    plans, process = [], 0
    for variant in (config, other_memory(config)):
        if variant is not None:
            plans.append(plan(variant, make_encoder, shape, device, data.rows))
            process = process or host_bytes() + _imported_later()  # all other modules are imported by now
    steps, warnings = Steps(0, 0), []
    if data.documents:
        steps = Steps.of(facts.documents, config, config.epochs)
        features = config.head.intermediate or facts.width
        warnings = schedule_warnings(config, steps, data.documents, features)
    chosen, counted = chosen_values(table, config), (steps.per_epoch, steps.total)
    return RecipePlan(data, shape.rows, name, plans, process, counted, chosen, warnings)


def _imported_later() -> int:
    """Bytes of a process that training needs for modules, and this one doesn't have."""
    return sum(size for name, size in IMPORTED_LATER.items() if name not in sys.modules)


def _batch_shape(config: TrainConfig, data: DataShape) -> BatchShape:
    """The shape of the largest batch."""
    from xmcpipe.ops.word_layer import MAX_WORDS

    rows = min(config.batch_size, data.rows or config.batch_size)
    terms = data.terms if config.head.word_fan_in else 0.0
    # At most: many words are in more than one document of a batch.
    words = min(round(rows * terms), MAX_WORDS)
    positives = round(rows * data.positives_per_row)
    return BatchShape(
        data.labels, data.clusters, rows, data.tokens, positives, words, terms, data.piece_length
    )


def _facts(table: TrainTable, data: DataShape, encoder: str) -> Facts:
    """What the rules of "auto" look at; without a number of documents, as many are assumed as labels."""
    from xmcpipe.memory.meta.encoder_config import read_config
    from xmcpipe.modeling.encoder import width

    known = read_config(encoder)
    documents = data.documents or data.labels
    trained = (data.rows or documents) - num_held_out(table, documents)
    features = width(encoder) if known is None else known.hidden_size
    return Facts(trained, data.labels, features, data.clusters > 0)


def data_shape(
    configs: Mapping[str, Any], artifacts: Mapping[str, Artifact | None], stated: DataShape
) -> DataShape:
    """The stated shape, completed from the shards and clusters that exist, then from the recipe.

    Raises XmcpipeError if the number of labels is unknown.
    """
    shards, clusters = artifacts.get("shards"), artifacts.get("clusters")
    with_texts = configs["train"].label_features
    if shards is None:
        # How many labels have a text is unknown without shards: assume all of them.
        data = stated.or_else(DataShape(label_texts=stated.labels if with_texts else 0))
    else:
        data = stated.or_else(_shape_of_shards(shards, with_texts))
    if not data.labels:
        raise XmcpipeError(
            "the number of labels is unknown: the shards of this recipe are not in the store",
            "give --labels N, or run `xmcpipe tokenize` first",
        )
    tokenize = configs.get("tokenize")
    pieces = Pieces.of(vars(tokenize)) if tokenize else Pieces(TOKENS)
    tokens = data.tokens or pieces.max_tokens
    # About as many words as tokens, and as many pairs.
    rest = DataShape(tokens=tokens, positives=POSITIVES, terms=2.0 * tokens, piece_length=pieces.piece_length)
    data = data.or_else(rest)
    weight = configs["train"].auxiliary.weight
    if not weight or (weight == AUTO and not (clusters or stated.clusters or "cluster" in configs)):
        return replace(data, clusters=0)
    if clusters is not None:
        data = data.or_else(DataShape(clusters=_count_clusters(clusters.path)))
    of_recipe = getattr(configs.get("cluster"), "num_clusters", 0) or default_clusters(data.labels)
    return data.or_else(DataShape(clusters=of_recipe))


def encoder_name(
    table: TrainTable, configs: Mapping[str, Any], artifacts: Mapping[str, Artifact | None]
) -> str:
    """The encoder to train: that of [train.encoder], otherwise the one that the shards are tokenized for."""
    shards, tokenize = artifacts.get("shards"), configs.get("tokenize")
    name = table.encoder.name or (
        shards.manifest.config["encoder"] if shards else getattr(tokenize, "encoder", "")
    )
    if not name:
        raise XmcpipeError("the recipe names no encoder", "give --set train.encoder.name=NAME")
    return str(name)


def _encoder_factory(name: str, tokens: int, checkpointing: bool) -> Callable[[], Any]:
    """A function that returns the encoder called `name`; only its config.json is read.

    If backward recomputes its activations (`checkpointing`), transformers has to build it.
    """
    from xmcpipe.memory.meta.encoder import PlannedEncoder
    from xmcpipe.memory.meta.encoder_config import read_config
    from xmcpipe.modeling.encoder import from_config, locate

    locate(name)  # raises XmcpipeError for a missing folder or package
    known = None if checkpointing else read_config(name)

    def make() -> Any:
        try:
            encoder = from_config(name) if known is None else PlannedEncoder(known)
        except (OSError, ValueError) as error:
            raise XmcpipeError(
                f"the config of encoder {name!r} can't be read: {str(error).strip().splitlines()[0]}",
                "offline, use a folder with its config.json",
            ) from error
        limit = getattr(encoder.config, "max_position_embeddings", None)
        if limit and tokens > limit:
            raise XmcpipeError(
                f"expected at most {limit} tokens for encoder {name}, got {tokens}", "lower --tokens"
            )
        return encoder

    return make


def _shape_of_shards(artifact: Artifact, with_texts: bool) -> DataShape:
    """The shape of a shards artifact; `with_texts`: label texts are training documents too."""
    import pyarrow.parquet as pq

    from xmcpipe.data.shards.files import Shards

    folder, tokenized = artifact.path, artifact.manifest.config
    shards = Shards(folder, "train")
    texts = Shards(folder, "label") if with_texts else None
    documents = len(shards)
    longest = max(int(split.lengths.max(initial=0)) for split in (shards, texts) if split is not None)
    return DataShape(
        labels=pq.ParquetFile(folder / "labels.parquet").metadata.num_rows,
        documents=documents,
        tokens=longest,
        positives=int(shards.labels.lengths.sum(dtype="int64")) / max(documents, 1),
        label_texts=len(texts) if texts is not None else 0,
        terms=shards.terms_per_document,
        piece_length=Pieces.of(tokenized).piece_length,
    )


def _count_clusters(folder: Path) -> int:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    return int(pc.max(pq.read_table(folder / "clusters.parquet")["cluster"]).as_py()) + 1
