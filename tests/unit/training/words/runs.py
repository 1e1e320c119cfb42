"""Tiny trainings whose head reads words: tokens say nothing, one word of each document names its label."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.unit.training.runs import CPU
from xmcpipe.config import from_table
from xmcpipe.data.schema import LABELS
from xmcpipe.data.shards.files import Shards, ShardWriter, shard_path
from xmcpipe.data.terms import document_terms
from xmcpipe.training.build import new_model
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.feed import Feed
from xmcpipe.training.initial.grouping import label_order
from xmcpipe.training.trainer import Trainer
from xmcpipe.training.words.choice import choose_frequent_words, choose_words

NUM_LABELS, NUM_DOCUMENTS = 40, 160


def text_of(document: int) -> str:
    """A document of label `document % 40`: its own word among words that all documents share."""
    label = document % NUM_LABELS
    return f"a picture of object{label} number {document}, shown in a room"


def write_words(folder: Path) -> None:
    """Write the shards into `folder`."""
    texts = [text_of(document) for document in range(NUM_DOCUMENTS)]
    tokens = pa.array([[1, 2, 3]] * NUM_DOCUMENTS, pa.list_(pa.int32()))
    labels = pa.array([[document % NUM_LABELS] for document in range(NUM_DOCUMENTS)], pa.list_(pa.int32()))
    with ShardWriter(shard_path(folder, "train", 0), has_terms=True) as shard:
        ids = pa.array([str(document) for document in range(NUM_DOCUMENTS)])
        shard.write(ids, tokens, labels, document_terms(texts, pairs=True))
    names = {"label": [f"l{label}" for label in range(NUM_LABELS)], "text": [None] * NUM_LABELS}
    pq.write_table(pa.table(names, schema=LABELS), folder / "labels.parquet")


def trainer_of(shards: Path, encoder: Path, scratch: Path, /, **changes: Any) -> Trainer:
    """A trainer whose head reads words."""
    table: dict[str, Any] = {
        "epochs": 8, "batch_size": 16, "warmup_steps": 2, "precision": "float32", "validation": 0.0,
        "encoder": {"dropout": 0.0}, "rewire": {"interval": 3, "fraction": 0.3}, **changes,
    }  # fmt: skip
    config = from_table(TrainConfig, table, "train")
    feed = Feed(shards, config, 0, CPU)
    texts = Shards(shards, "label")
    head = config.head
    choice = choose_words(feed.shards, feed.train_rows, texts, feed.num_labels, head.word_fan_in)
    if head.frequent_labels:
        frequent = feed.most_frequent(head.frequent_labels)
        choice = choose_frequent_words(
            choice, feed.shards, feed.train_rows, frequent, head.frequent_word_fan_in
        )
    order = label_order(config, feed, None)
    model = new_model(config, str(encoder), 204, feed, 0, CPU, choice, order)
    feed.read_words(model.words)
    feed.separate(model.frequent, model.head.order)
    return Trainer(config, model, feed, None, CPU, scratch)
