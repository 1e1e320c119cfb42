"""Turns shards into batches on the device: the validation split, the order of an epoch, groups of batches.

A group consists of the `accumulation` batches of one optimizer step.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import torch
from torch import Tensor

from xmcpipe.data.embeddings import EmbeddingTable
from xmcpipe.data.shards.batches import collate, epoch_batches, length_order, positive_pairs
from xmcpipe.data.shards.files import Int64s, Shards
from xmcpipe.data.word_vocabulary import WordVocabulary
from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling.frequent import FrequentLabels
from xmcpipe.modeling.words import WordSource
from xmcpipe.ops.layer import Positives
from xmcpipe.ops.word_layer import BatchWords
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.schedule import Steps, divided, num_held_out

COUNTED_ROWS = 1 << 16  # number of documents whose labels are gathered at a time


@dataclass(frozen=True)
class TokenBatch:
    """B documents on the device: token ids and mask int64 [B, S], and the positive pairs sorted by label.

    `words` are None unless the model reads words. `split`: the positive pairs of each head, its labels by
    their places in it, if there are two heads or a place is not the label's id.
    """

    input_ids_BS: Tensor
    mask_BS: Tensor
    positives: Positives
    words: BatchWords | None = None
    split: tuple[Positives, ...] | None = None

    def __len__(self) -> int:
        return len(self.input_ids_BS)


@dataclass(frozen=True)
class EmbeddedBatch:
    """B documents on the device, encoded before: float32 [B, E]; the rest as in a TokenBatch."""

    embedding_BE: Tensor
    positives: Positives
    words: BatchWords | None = None
    split: tuple[Positives, ...] | None = None

    def __len__(self) -> int:
        return len(self.embedding_BE)


Batch = TokenBatch | EmbeddedBatch


def positives_of_heads(batch: Batch) -> tuple[Positives, ...]:
    """The positive pairs of each head of the model, in the order of `Model.heads`, by places in the head."""
    return (batch.positives,) if batch.split is None else batch.split


@dataclass(frozen=True)
class Frequent:
    """The labels with a head of their own, in host memory.

    `labels` int64 [H], ascending; `place_L` int64 [L], the place of a label among them, -1 for all others.
    """

    labels: Int64s
    place_L: Int64s

    @staticmethod
    def of(labels_H: Int64s, num_labels: int) -> "Frequent":
        """From the labels."""
        place_L = np.full(num_labels, -1, np.int64)
        place_L[labels_H] = np.arange(len(labels_H))
        return Frequent(labels_H, place_L)


class Feed:
    """The training split of a shards artifact, divided into training and validation rows by the seed.

    With `config.label_features` the label texts are training rows too, after the documents. They are never in
    the validation split, because a model is judged by the labels of documents. `label_counts` float64 [L] and
    `num_documents` count the training rows only. With `embeddings`, of the rows of the shards, batches hold
    these instead of tokens. Batches have words after `read_words`, and pairs of each head after `separate`.

    Raises XmcpipeError for shards without a document or a label, for label_features without label texts, and
    for a label id that the vocabulary doesn't have.
    """

    def __init__(
        self,
        folder: Path,
        config: TrainConfig,
        pad_id: int,
        device: torch.device,
        embeddings: EmbeddingTable | None = None,
    ) -> None:
        self.shards, self.embeddings = Shards(folder, *config.splits), embeddings
        self._words: tuple[WordVocabulary, WordSource] | None = None
        self._frequent: Frequent | None = None
        self._place_L: npt.NDArray[np.int32] | None = None
        assert embeddings is None or len(embeddings) == len(self.shards), "embeddings of these shards"
        self.num_labels = pq.ParquetFile(folder / "labels.parquet").metadata.num_rows
        self._config, self._pad_id, self._device = config, pad_id, device
        total = len(Shards(folder, "train"))
        if total == 0 or self.num_labels == 0:
            raise XmcpipeError(
                f"expected training documents and labels in {folder}, got {total} documents and "
                f"{self.num_labels} labels",
                "import more data",
            )
        if config.label_features and len(self.shards) == total:
            raise XmcpipeError(
                f"train.label_features is set, but no label in {folder} has a text",
                "import a label table with texts, or leave train.label_features out",
            )
        # Both ascend: rows of shards are then read in order; `groups` shuffles them again.
        self.validation_rows, rows = divided(total, num_held_out(config, total), config.seed)
        texts = np.arange(total, len(self.shards))  # label texts follow the documents
        self.train_rows: Int64s = np.concatenate([rows, texts])
        self.label_counts = self._label_counts()

    def read_words(self, words: WordSource | None) -> None:
        """Give every batch its words, if the model reads some."""
        self._words = None if words is None else (WordVocabulary(*words.arrays()), words)

    def most_frequent(self, count: int) -> Int64s:
        """The `count` labels of most training rows, ascending; of equal ones the first."""
        order = np.argsort(-self.label_counts.cpu().numpy(), kind="stable")
        return np.sort(order[:count]).astype(np.int64)

    def separate(self, frequent: FrequentLabels | None, order_L: Tensor | None = None) -> None:
        """Give every batch the pairs of these labels apart from those of all others, if there are any.

        `order_L` is the order of the labels in the head of all labels (`Head.order`).
        """
        if frequent is not None:
            self._frequent = Frequent.of(frequent.labels.cpu().numpy(), self.num_labels)
        if order_L is not None:
            self._place_L = np.empty(self.num_labels, np.int32)
            self._place_L[order_L.cpu().numpy()] = np.arange(self.num_labels, dtype=np.int32)

    def places(self, labels_P: npt.NDArray[np.integer]) -> Int64s:
        """The places of some labels in the head of all labels."""
        return (labels_P if self._place_L is None else self._place_L[labels_P]).astype(np.int64)

    @property
    def frequent(self) -> "Frequent | None":
        """The labels with a head of their own, None if there are none."""
        return self._frequent

    @property
    def vocabulary(self) -> WordVocabulary | None:
        """The words that the model reads, None if it reads none."""
        return None if self._words is None else self._words[0]

    def _label_counts(self) -> Tensor:
        """Number of training rows of each label, float64 [L]. Shards were checked when they were opened."""
        counts = np.zeros(self.num_labels)
        for begin in range(0, len(self.train_rows), COUNTED_ROWS):
            labels, _ = self.shards.labels.gather(self.train_rows[begin : begin + COUNTED_ROWS])
            counts += np.bincount(labels, minlength=self.num_labels)
        return torch.from_numpy(counts)

    @property
    def num_documents(self) -> int:
        """Number of training rows, without the validation split."""
        return len(self.train_rows)

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps per epoch."""
        return Steps.of(self.num_documents, self._config, epochs=1).per_epoch

    def sizes(self) -> dict[str, int]:
        """Numbers for the log: documents, documents of the validation split, steps of an epoch."""
        sizes = {"documents": self.num_documents, "validation_documents": len(self.validation_rows)}
        return {**sizes, "steps_per_epoch": self.steps_per_epoch}

    def groups(self, epoch: int) -> list[list[Int64s]]:
        """The rows of each batch of an epoch, in groups of `accumulation` batches: one per optimizer step."""
        lengths = self.shards.lengths[self.train_rows]
        batches = epoch_batches(lengths, self._config.batch_size, self._config.seed, epoch)
        rows = [self.train_rows[batch] for batch in batches]
        step = self._config.accumulation
        return [rows[begin : begin + step] for begin in range(0, len(rows), step)]

    def batch(self, rows: Int64s) -> Batch:
        """The documents of `rows` on the device."""
        words = None
        if self._words is not None:
            vocabulary, source = self._words
            words = source.batch(*vocabulary.weigh(self.shards.terms(rows)), len(rows))
        if self.embeddings is not None:
            pairs = positive_pairs(self.shards, rows)
            (embedding_BE,) = self._to_device(self.embeddings.gather(rows))
            return EmbeddedBatch(embedding_BE, self._positives(*pairs), words, self._split(*pairs))
        host = collate(self.shards, rows, self._pad_id)
        input_ids_BS, mask_BS = self._to_device(host.input_ids, host.mask)
        pairs = host.rows, host.labels
        return TokenBatch(input_ids_BS, mask_BS, self._positives(*pairs), words, self._split(*pairs))

    def _positives(self, rows_P: Int64s, labels_P: Int64s) -> Positives:
        rows, labels = self._to_device(rows_P, labels_P)
        return Positives.of(rows, labels)

    def _split(self, rows_P: Int64s, labels_P: Int64s) -> tuple[Positives, ...] | None:
        """The pairs of each head. They are told apart on the host: a GPU would have to be waited for."""
        if self._frequent is None:
            return None if self._place_L is None else (self._positives(rows_P, self.places(labels_P)),)
        place_P = self._frequent.place_L[labels_P]
        mine_P = place_P >= 0
        sparse = self._positives(rows_P[~mine_P], self.places(labels_P[~mine_P]))
        return sparse, self._positives(rows_P[mine_P], place_P[mine_P])

    def _to_device(self, *arrays: npt.NDArray[Any]) -> list[Tensor]:
        tensors = [torch.from_numpy(array) for array in arrays]
        if self._device.type == "cuda":
            tensors = [tensor.pin_memory().to(self._device, non_blocking=True) for tensor in tensors]
        return tensors

    def validation_batches(self) -> Iterator[Batch]:
        """The batches of the validation split, each of documents of similar length."""
        lengths = self.shards.lengths[self.validation_rows]
        for batch in length_order(lengths, self._config.batch_size):
            yield self.batch(self.validation_rows[batch])


def read_clusters(folder: Path, num_labels: int) -> Tensor:
    """The cluster of each label, int64 [L].

    Raises XmcpipeError if the clusters are of another vocabulary, or one is out of range.
    """
    path = folder / "clusters.parquet"
    clusters = torch.from_numpy(pq.read_table(path)["cluster"].to_numpy().astype(np.int64))
    if len(clusters) != num_labels:
        raise XmcpipeError(
            f"{folder}: expected clusters of {num_labels} labels, as in the shards, got clusters of "
            f"{len(clusters)} labels",
            "run `xmcpipe cluster` on these shards",
        )
    if num_labels and not 0 <= int(clusters.min()) <= int(clusters.max()) < num_labels:
        raise XmcpipeError(
            f"{path}: expected clusters from 0 to {num_labels - 1}, got {int(clusters.min())} to "
            f"{int(clusters.max())}",
            "run `xmcpipe cluster` again",
        )
    return clusters


def count_clusters(clusters_L: Tensor | None) -> int:
    """C, 0 without clusters."""
    return 0 if clusters_L is None else int(clusters_L.max()) + 1
