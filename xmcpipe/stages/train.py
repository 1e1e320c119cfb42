"""`train`: trains a model on shards and clusters, and chooses the best checkpoint by a validation split.

A training that was killed continues from its last checkpoint.
"""

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmcpipe.artifacts.fingerprint import sha256_of_files
from xmcpipe.artifacts.manifest import FILE_NAME
from xmcpipe.artifacts.store import Artifact
from xmcpipe.artifacts.versions import MODEL_VERSION
from xmcpipe.config import AUTO, to_table
from xmcpipe.errors import XmcpipeError
from xmcpipe.pieces import Pieces
from xmcpipe.stages.predict import tokenizer_table
from xmcpipe.stages.stage import Option, Result, Stage
from xmcpipe.training.auto import Facts, choose, chosen_values, schedule_warnings
from xmcpipe.training.config import TrainConfig, TrainTable
from xmcpipe.training.log import how_far
from xmcpipe.training.schedule import Steps, num_held_out

if TYPE_CHECKING:
    import torch

    from xmcpipe.data.embeddings import EmbeddingTable
    from xmcpipe.memory.measure import FirstStepsMeter
    from xmcpipe.training.feed import Feed
    from xmcpipe.training.initial.start import Start
    from xmcpipe.training.trainer import Trainer
    from xmcpipe.training.words.choice import WordChoice

logger = logging.getLogger(__name__)


# Long: one line or two for each input and output of a training, in the order in which they are needed.
def run(table: TrainTable, inputs: Mapping[str, Path], out: Path, scratch: Path) -> Result:
    """Train on the shards and write the model artifact into `out`; `scratch` holds checkpoints and the log.

    `inputs` has "shards", "clusters" if the auxiliary loss is on or labels are grouped by meaning, and
    "embeddings" if the encoder is frozen or the head begins with what they say. Raises XmcpipeError for
    K > D, an encoder that can't be found, clusters or embeddings of other shards, and a loss that isn't
    finite.
    """
    from xmcpipe.data.vocabulary_file import write_counted
    from xmcpipe.memory.measure import FirstStepsMeter
    from xmcpipe.modeling.devices import pick_device, said_of
    from xmcpipe.modeling.encoder import load_tokenizer
    from xmcpipe.modeling.saved import save_model
    from xmcpipe.training.build import new_model
    from xmcpipe.training.feed import Feed, count_clusters, read_clusters
    from xmcpipe.training.initial.embedded import begin_with_embeddings
    from xmcpipe.training.initial.grouping import label_order
    from xmcpipe.training.trainer import Trainer

    shards = inputs["shards"]
    tokenized = Artifact.at(shards).manifest.config
    pieces, device = Pieces.of(tokenized), pick_device(table.device)
    tokenizer = load_tokenizer(str(shards / "tokenizer"))
    encoder_name = table.encoder.name or tokenized["encoder"]
    config = _chosen(table, inputs, encoder_name)
    said = said_of(config.precision, device.type, stored=config.memory == "light")
    if said and not config.encoder.frozen:
        logger.info("train: %s", said)
    embeddings = _embeddings(config, encoder_name, inputs)
    frozen = embeddings if config.encoder.frozen else None
    feed = Feed(shards, config, tokenizer.pad_token_id or 0, device, frozen)
    if config.auxiliary.weight or config.head.groups_by_meaning:
        _require_same_shards(inputs, "clusters", "cluster")
    clusters = read_clusters(inputs["clusters"], feed.num_labels) if config.auxiliary.weight else None
    start = None if config.start_from is None else _start(config.start_from, shards)
    order_L = label_order(config, feed, inputs.get("clusters"))
    order_L = order_L if start is None else start.order(order_L)
    words = _words(config, shards, feed)
    num_clusters = count_clusters(clusters)
    num_tokens = max(len(tokenizer), feed.shards.num_tokens)
    model = new_model(config, encoder_name, num_tokens, feed, num_clusters, device, words, order_L)
    model.piece_length, model.pieces = pieces.piece_length, config.encoder.pieces
    feed.read_words(model.words)
    feed.separate(model.frequent, model.head.order)
    begin_with_embeddings(config, model, embeddings, feed)
    if start is not None:
        start.copy_to(model, config.encoder.frozen)
        start = None  # frees the old model
    trainer = Trainer(config, model, feed, clusters, device, scratch, meter := FirstStepsMeter())
    trainer.fit()
    figures = {**_figures(trainer, meter, device), "auto": chosen_values(table, config)}
    facts = {"documents": feed.num_documents, "recipe": _recipe(config, inputs), "figures": figures}
    save_model(out, model, pieces, facts)
    shutil.copytree(shards / "tokenizer", out / "tokenizer")
    write_counted(shards / "labels.parquet", feed.label_counts.numpy(), out / "labels.parquet")
    shutil.copytree(scratch / "log", out / "log")
    return Result(figures)


def _start(begin: str, shards: Path) -> "Start":
    """The model in the folder `begin`, whose encoder and rows of shared labels the training takes over."""
    from xmcpipe.data.vocabulary_file import read_vocabulary
    from xmcpipe.training.initial.start import Start

    folder = Path(begin)
    if tokenizer_table(folder) != tokenizer_table(shards):
        raise XmcpipeError(
            f"train.start_from: expected shards made with the tokenizer of {folder}, got those of another",
            "name the encoder of that model in [tokenize]",
        )
    return Start.read(folder, read_vocabulary(shards)["label"].to_pylist())


def source(config: TrainTable) -> str | None:
    """The fingerprint of the model with which the training begins; None if it begins anew.

    Raises XmcpipeError if there is no such model.
    """
    if config.start_from is None:
        return None
    folder = Path(config.start_from)
    if (folder / FILE_NAME).is_file():
        manifest = Artifact.at(folder).manifest
        manifest.require("model", MODEL_VERSION)
        return manifest.fingerprint
    if not (folder / "model.json").is_file():
        raise XmcpipeError(
            f"train.start_from: {folder} is neither the folder of a model nor a recipe with a model in the "
            "store",
            "run that recipe first, in the same store",
        )
    files = ("model.json", "model.safetensors", "encoder/model.safetensors", "labels.parquet")
    return sha256_of_files(path for name in files if (path := folder / name).is_file())


def _words(config: TrainConfig, shards: Path, feed: "Feed") -> "WordChoice | None":
    """The words that the labels read; None for a head that reads features alone."""
    from xmcpipe.data.shards.files import Shards
    from xmcpipe.training.words.choice import choose_frequent_words, choose_words

    head, rows_N = config.head, feed.train_rows
    if not head.word_fan_in:
        return None
    texts, kind = Shards(shards, "label"), Artifact.at(shards).manifest.config.get("words", "none")
    choice = choose_words(feed.shards, rows_N, texts, feed.num_labels, head.word_fan_in, kind)
    if not head.frequent_labels:
        return choice
    frequent = feed.most_frequent(head.frequent_labels)
    return choose_frequent_words(choice, feed.shards, rows_N, frequent, head.frequent_word_fan_in)


def _chosen(table: TrainTable, inputs: Mapping[str, Path], encoder_name: str) -> TrainConfig:
    """`table` with every value chosen. Says what was chosen, and warns about a schedule that can't work."""
    import pyarrow.parquet as pq

    from xmcpipe.data.shards.files import Shards
    from xmcpipe.modeling.encoder import width

    shards = inputs["shards"]
    documents = len(Shards(shards, "train"))
    trained = len(Shards(shards, *table.splits)) - num_held_out(table, documents)
    labels = pq.read_metadata(shards / "labels.parquet").num_rows
    trained = max(trained, 1)  # the feed says it if there is none
    facts = Facts(trained, labels, width(encoder_name), "clusters" in inputs)
    config = choose(table, facts)
    if chosen := chosen_values(table, config):
        logger.info("chosen: %s", ", ".join(f"{key} {value}" for key, value in chosen.items()))
    steps = Steps.of(trained, config, config.epochs)
    for line in schedule_warnings(config, steps, documents, config.head.intermediate or facts.width):
        logger.warning("warning: %s", line)
    return config


def _required(config: TrainTable) -> tuple[str, ...]:
    """The required inputs: clusters for the auxiliary loss and groups, embeddings where something reads them.

    Where the weight of the auxiliary loss is "auto", clusters are read if the recipe makes them.
    """
    needed = config.head.groups_by_meaning or config.auxiliary.weight not in (0.0, AUTO)
    clusters = ("clusters",) if needed else ()
    return ("shards", *clusters, *(("embeddings",) if _reads_embeddings(config) else ()))


def _reads_embeddings(config: TrainTable) -> bool:
    head = config.head
    return config.encoder.frozen or head.topology == "informed" or head.weight_init == "means"


def _recipe(config: TrainConfig, inputs: Mapping[str, Path]) -> dict[str, Any]:
    """The tables that made the model, for model.json, without what changes no byte of it."""
    tables = {"tokenize": "shards", "cluster": "clusters", "embed": "embeddings"}
    found = {name: inputs[kind] for name, kind in tables.items() if kind in inputs}
    made = {name: Artifact.at(folder).manifest.config for name, folder in found.items()}
    return {"tokenize": made.pop("tokenize"), "train": to_table(config, keys="computed"), **made}


def _embeddings(config: TrainConfig, encoder: str, inputs: Mapping[str, Path]) -> "EmbeddingTable | None":
    """The embeddings of the splits that are trained on; None if nothing reads them.

    Raises XmcpipeError if they are of other shards, another encoder or another pooling: the model would
    predict from embeddings of another kind than those its output layer was trained on.
    """
    from xmcpipe.data.embeddings import EmbeddingTable

    if not _reads_embeddings(config):
        return None
    _require_same_shards(inputs, "embeddings", "embed")
    manifest = Artifact.at(inputs["embeddings"]).manifest
    for key, got, expected in (
        ("encoder", manifest.figures["encoder"], encoder),
        ("pooling", manifest.config["pooling"], config.encoder.pooling),
    ):
        if got != expected:
            raise XmcpipeError(
                f"expected embeddings with {key} {expected!r}, as in [train.encoder], got {got!r}",
                f"set the {key} of [embed] and of [train.encoder] to the same",
            )
    return EmbeddingTable(inputs["embeddings"], *config.splits)


def _require_same_shards(inputs: Mapping[str, Path], kind: str, stage: str) -> None:
    """Raise XmcpipeError unless the input `kind` was made from the shards: the same N or L isn't enough."""
    source = Artifact.at(inputs[kind]).manifest.inputs.get("shards")
    expected = Artifact.at(inputs["shards"]).manifest.fingerprint
    if source != expected:
        raise XmcpipeError(
            f"expected {kind} of shards {expected[:16]}, got {kind} of shards {str(source)[:16]}",
            f"run `xmcpipe {stage}` on the shards that are trained on",
        )


def _figures(trainer: "Trainer", meter: "FirstStepsMeter", device: "torch.device") -> dict[str, Any]:
    """The figures for the manifest: validation, and the cost of the training and of the output layer.

    `first_connections` is the fraction of the initial connections that no rewiring has replaced.
    """
    from xmcpipe.memory.compare import memory_figures
    from xmcpipe.modeling.devices import arithmetic

    state, head, heads = trainer.progress, trainer.model.head, trainer.model.heads
    # Others are not a function of the seed, with which they could be compared.
    is_drawn = trainer.config.head.topology == "random" and trainer.config.start_from is None
    first = head.first_connections() if is_drawn else None
    best = next((row for row in state.evaluations if row["step"] == state.best_step), {})
    return {
        "validation": {name: value for name, value in best.items() if "@" in name},
        "best_step": state.best_step,
        "steps": state.step,
        "epochs": round(state.step / trainer.feed.steps_per_epoch, 3),
        "rewirings": state.rewirings,
        **({} if first is None else {"first_connections": round(first, 4)}),
        "head": head.shape.kind,
        "head_parameters": sum(each.num_parameters for each in heads),
        "head_bytes": sum(each.num_bytes for each in heads),
        "arithmetic": arithmetic(trainer.config.precision, device.type),
        "encoder_parameters": sum(p.numel() for p in trainer.model.encoder.parameters()),
        "seconds": round(state.seconds, 1),
        "seconds_per_step": round(state.seconds / max(state.step, 1), 4),
        "documents_per_second": round(state.documents / max(state.seconds, 1e-9), 1),
        "memory": memory_figures(trainer, meter),
        "device": str(device),
    }


TRAIN = Stage(
    name="train",
    kind="model",
    config=TrainTable,
    schema_version=MODEL_VERSION,
    inputs=("shards", "clusters", "embeddings"),
    run=run,
    source=source,
    required=_required,
    alternatives={
        "clusters": 'set train.auxiliary.weight = 0 and train.head.group_by = "random"',
        "embeddings": "set train.encoder.frozen = false and train.head.topology and weight_init to random",
    },
    how_far=how_far,
    help="Train a model. A training that was killed continues from its last checkpoint.",
    options=(
        Option(
            "--steps",
            key="max_steps",
            type=int,
            metavar="N",
            least=1,
            help="Stop after N steps: short for --set train.max_steps=N.",
        ),
    ),
)
