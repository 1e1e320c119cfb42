"""What new labels are told apart from: documents that the model was trained on, or the texts of its labels.

The shards of a training are often still in the store; a model that was copied to another place has only its
vocabulary. n documents of the background, L labels.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from xmcpipe.data.embeddings import EmbeddingTable
from xmcpipe.data.shards.files import Int64s, Shards
from xmcpipe.growing.documents import Documents, Reader
from xmcpipe.training.schedule import divided, held_out_count

logger = logging.getLogger(__name__)
SEED_OF_BACKGROUND = 3  # of the streams of a seed
MOST_LABEL_TEXTS = 4096


@dataclass(frozen=True)
class Background:
    """n documents, and their pairs of row and label id, int64 [P, 2]; None if they are texts of labels."""

    documents: Documents
    pairs_P2: npt.NDArray[np.int64] | None


def texts_of_labels(reader: Reader, labels: pa.Table, most: int, seed: int) -> Documents:
    """The texts of at most `most` labels of the model, or their names where they have none."""
    rows = _drawn(np.arange(len(labels)), most, seed)
    names, texts = (labels[column].take(pa.array(rows)).to_pylist() for column in ("label", "text"))
    found = [text or name for name, text in zip(names, texts, strict=True)]
    return reader.of_texts(found, "texts of labels")


def of_training(
    reader: Reader, facts: dict[str, Any], shards: Path, embeddings: Path | None, most: int, seed: int
) -> Background:
    """At most `most` documents that the model with these `facts` was trained on, drawn by the seed."""
    documents = Shards(shards, "train")
    table = None if embeddings is None else EmbeddingTable(embeddings, "train")
    rows = _drawn(_trained_rows(facts, len(documents)), most, seed)
    logger.info("new labels are compared with %s documents of the training", f"{len(rows):,}")
    labels_P, counts_n = documents.labels.gather(rows)
    pairs = np.stack([np.repeat(np.arange(len(rows)), counts_n), labels_P.astype(np.int64)], 1)
    return Background(reader.of_shards(documents, rows, table), pairs)


def of_labels(reader: Reader, labels: pa.Table, seed: int) -> Background:
    """The texts of the labels of the model, or their names where they have none."""
    logger.warning(
        "warning: the documents of the training are not in the store: new labels are compared with the texts "
        "of the model's labels; documents of old labels among those of the new ones make them better"
    )
    return Background(texts_of_labels(reader, labels, MOST_LABEL_TEXTS, seed), None)


def _trained_rows(facts: dict[str, Any], total: int) -> Int64s:
    """The rows of the training split that were trained on, and not set aside."""
    train = facts.get("recipe", {}).get("train", {})
    held_out = held_out_count(train.get("validation", 0.0), train.get("validation_max", 0), total)
    return divided(total, held_out, train.get("seed", 0))[1]


def _drawn(rows: Int64s, most: int, seed: int) -> Int64s:
    if len(rows) <= most:
        return rows.astype(np.int64)
    random = np.random.default_rng([seed, SEED_OF_BACKGROUND])
    return np.sort(random.choice(rows, most, replace=False)).astype(np.int64)
