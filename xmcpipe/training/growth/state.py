"""Growth that looks at documents, in a training: it watches the steps, and rewires the head.

B rows of a batch, D features, E width of the embedding, L labels, K fan-in, T labels of a chunk.
"""

from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xmcpipe.data.shards.files import Int64s
from xmcpipe.modeling.model import Model
from xmcpipe.modeling.tensors import TensorFile
from xmcpipe.ops.layer import Positives, Rewiring, SparseLayer, whole_groups
from xmcpipe.ops.rewire import rewire_by_
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.feed import Feed
from xmcpipe.training.growth.cache import DocumentFeatures, FrozenFeatures, WrittenFeatures
from xmcpipe.training.growth.choice import largest_unread
from xmcpipe.training.growth.gradient import AverageGradient, LabelledDocuments, chunk_labels, sampled_rows
from xmcpipe.training.growth.ring import Kept, Ring
from xmcpipe.training.growth.words import WordGrowth
from xmcpipe.training.initial.informed import pairs_by_label
from xmcpipe.training.rewiring import Cut, next_rewiring, rewire
from xmcpipe.training.words.documents import TrainingWords, document_words
from xmcpipe.training.words.frequent import grow_words
from xmcpipe.training.words.scores import WordScores

RING, DOCUMENTS = "growth.ring.", "growth.documents."  # prefixes of the names of tensors


class Pairs(NamedTuple):
    """The pairs of documents that have features, and labels of the head, in the order of the labels.

    `labels` (local: places in the head) and `documents` (rows of the shards), int64 [P] each.
    """

    labels: Int64s
    documents: Int64s


class Growth:
    """Growth by gradient of `model.head`, growth of words, or both.

    `documents` has the features of every document; it is None if only the last batches are looked at. A
    `State` (`updates.protocol`) of ring and cache. `total_steps` are those of the whole training.
    """

    def __init__(
        self,
        config: TrainConfig,
        model: Model,
        feed: Feed,
        total_steps: int,
        documents: DocumentFeatures | None,
    ) -> None:
        self._config, self._model, self._feed, self._total_steps = config, model, feed, total_steps
        self.documents = documents
        head, rewire = model.head, config.rewire
        self.ring: Ring | None = None
        if rewire.growth != "random":
            self.ring = Ring(rewire.window, config.batch_size, head.shape.in_features, head.weight.device)
        self._kept = False  # whether the next rewiring uses the batches of the present step
        self._rows: Int64s = np.empty(0, np.int64)  # the documents of the present batch

    def begin(self, step: int) -> None:
        """Begin step number `step`, from 1."""
        following = next_rewiring(self._config.rewire, step, self._total_steps)
        batches = None if following is None else (following - step) * self._config.accumulation
        self._kept = batches is not None and batches < self._config.rewire.window

    @torch.no_grad()
    def see_embedding(self, rows: Int64s, embedding_BE: Tensor) -> None:
        """Begin the batch of the documents `rows`, and keep their features.

        They are those of the embedding before dropout.
        """
        self._rows = rows
        if self.documents is not None and not self._config.encoder.frozen:
            self.documents.keep(rows, self._model.features(embedding_BE))

    def see_features(self, features_BD: Tensor, positives: Positives) -> None:
        """Keep the batch, as the head reads it, if a rewiring will use it."""
        if self._kept and self.ring is not None:
            self.ring.keep(self._rows, features_BD[:, : self._model.head.shape.in_features], positives)

    def rewire(self, moments_LK: list[Tensor], cut: Cut, rewiring: int) -> int:
        """Prune `cut` and regrow in place, as `rewiring.rewire` does; returns what it returns."""
        if self.ring is None:
            return rewire(self._model.head, moments_LK, cut, self._config.seed, rewiring)
        return self._rewire_by_gradient(self.ring.contents(), moments_LK, cut)

    def rewire_words(self) -> int:
        """Drop words for others, as the recipe says; returns how many were chosen."""
        if not self._config.chooses_words_again:
            return 0
        words, documents = self._words, self.documents
        assert words is not None, "the head reads words"
        assert documents is not None, "growth_of has seen to it"
        pairs, *of_frequent = self._pairs_of_heads(documents)
        counts = [
            max(1, int(self._config.rewire.fraction * each.shape.word_fan_in)) for each in self._model.heads
        ]
        growth = WordGrowth(self._model.head, self._config.loss, words)
        chosen = growth.rewire(pairs.labels, pairs.documents, documents.gather, counts[0])
        for frequent in of_frequent:
            chosen += self._rewire_frequent(documents, words, frequent, counts[1])
        return chosen

    def _rewire_frequent(
        self, documents: DocumentFeatures, words: TrainingWords, pairs: Pairs, count: int
    ) -> int:
        assert self._model.frequent is not None, "pairs of frequent labels"
        rows_N = self._feed.train_rows
        rows_N = rows_N[documents.seen(rows_N)]
        return grow_words(
            self._model.frequent.head,
            self._config.loss,
            words.of(rows_N),
            lambda part: documents.gather(rows_N[part]),
            pairs.labels,
            np.searchsorted(rows_N, pairs.documents),
            count,
        )

    @torch.no_grad()
    def _rewire_by_gradient(self, kept: Kept, moments_LK: list[Tensor], cut: Cut) -> int:
        head = self._model.head
        cache = self.documents if self._config.rewire.growth == "documents" else None
        documents = self._of_ring(kept) if cache is None else self._of_cache(cache)
        words = self._word_scores(kept, cache is not None)
        average = AverageGradient(head, self._config.loss, kept, documents, words)

        def choose(rows_T: Tensor, index_TK: Tensor, pruned_TK: Tensor) -> Tensor:
            return largest_unread(average.of_groups(rows_T), index_TK, pruned_TK)

        group, width = head.shape.group, head.shape.in_features
        layer = SparseLayer(head.weight, head.index, group=group)
        # Seed and number of a rewiring are those of random numbers, which this growth doesn't use.
        pruning = Rewiring(cut.bits, cut.ties, 0, 1, head.shape.first_label, width, cut.row_count)
        rows = whole_groups(min(self._config.label_chunk, chunk_labels(width)), group) // group
        return int(rewire_by_(layer, moments_LK, pruning, choose, rows))

    def _of_ring(self, kept: Kept) -> LabelledDocuments:
        shape = self._model.head.shape
        local = kept.pairs.within(shape.first_label, shape.first_label + shape.num_labels)
        return LabelledDocuments(local, lambda rows: kept.features[rows], len(kept.rows))

    def _of_cache(self, cache: DocumentFeatures) -> LabelledDocuments:
        """All documents seen so far, with the labels of the head."""
        device, found = self._model.head.weight.device, self._pairs_of_heads(cache)[0]
        pairs = Positives(*(torch.from_numpy(each).to(device) for each in (found.documents, found.labels)))

        def features(rows: Tensor) -> Tensor:
            gathered = cache.gather(rows.cpu().numpy())
            return torch.from_numpy(gathered[:, : self._model.head.shape.in_features]).to(device)

        return LabelledDocuments(pairs, features, max(cache.num_seen, 1))

    def _pairs_of_heads(self, cache: DocumentFeatures) -> list[Pairs]:
        pairs, frequent = self._pairs_of(cache), self._feed.frequent
        if frequent is None:
            return [self._at_places(pairs)]
        place_P = frequent.place_L[pairs.labels + self._model.head.shape.first_label]
        mine_P = place_P >= 0
        # Places ascend as the labels do.
        return [
            self._at_places(Pairs(pairs.labels[~mine_P], pairs.documents[~mine_P])),
            Pairs(place_P[mine_P], pairs.documents[mine_P]),
        ]

    def _pairs_of(self, cache: DocumentFeatures) -> Pairs:
        shape = self._model.head.shape
        labels_P, documents_P = self._all_pairs
        low, high = np.searchsorted(labels_P, [shape.first_label, shape.first_label + shape.num_labels])
        labels_P, documents_P = labels_P[low:high] - np.int32(shape.first_label), documents_P[low:high]
        pairs = Pairs(labels_P.astype(np.int64), documents_P.astype(np.int64))
        seen_P = cache.seen(pairs.documents)
        return pairs if seen_P.all() else Pairs(pairs.labels[seen_P], pairs.documents[seen_P])

    def _at_places(self, pairs: Pairs) -> Pairs:
        """The pairs with the places of the labels in the head, in the order of the places."""
        if self._model.head.order is None:
            return pairs
        places_P = self._feed.places(pairs.labels)
        order = np.argsort(places_P, kind="stable")
        return Pairs(places_P[order], pairs.documents[order])

    def _word_scores(self, kept: Kept, by_cache: bool) -> WordScores | None:
        """The words of the sampled rows, and those of all training documents or of the rows of the ring."""
        words, source = self._words, self._model.words
        if words is None or source is None:
            return None
        sample_M = kept.documents[sampled_rows(kept).cpu()].numpy()
        found = words.vocabulary.weigh(self._feed.shards.terms(sample_M))
        sample = source.batch(*found, len(sample_M))
        if by_cache:
            return WordScores(self._model.head, sample, words.documents, words.number_of)
        rows = document_words([(self._feed.shards, kept.documents.numpy())], words.vocabulary)
        return WordScores(self._model.head, sample, rows, lambda numbers: numbers)

    @cached_property
    def _all_pairs(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        return pairs_by_label(self._feed.shards, self._feed.train_rows)

    @cached_property
    def _words(self) -> TrainingWords | None:
        """The words of the training documents; None for a head that reads features alone."""
        vocabulary = self._feed.vocabulary
        if vocabulary is None:
            return None
        return TrainingWords(self._feed.shards, self._feed.train_rows, vocabulary)

    def flush(self) -> None:
        """Bring everything to the disk that a checkpoint refers to; call it before one is written."""
        if self.documents is not None:
            self.documents.flush()

    def checkpointed(self) -> None:
        """Note that a checkpoint of this state exists."""
        if self.documents is not None:
            self.documents.checkpointed()

    def fault(self, file: TensorFile, prefix: str) -> str | None:
        """The fault of the features on disk to which the checkpoint `file` refers; None if they are whole."""
        return None if self.documents is None else self.documents.fault(file, f"{prefix}{DOCUMENTS}")

    def tensors(self) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        if self.ring is not None:
            found |= {f"{RING}{name}": tensor for name, tensor in self.ring.tensors().items()}
        if self.documents is not None:
            found |= {f"{DOCUMENTS}{name}": tensor for name, tensor in self.documents.tensors().items()}
        return found

    def facts(self) -> dict[str, Any]:
        return {} if self.ring is None else {"growth": self.ring.facts()}

    def restore(self, file: TensorFile, prefix: str, facts: dict[str, Any]) -> None:
        if self.ring is not None:
            self.ring.restore(file, f"{prefix}{RING}", facts["growth"])
        if self.documents is not None:
            self.documents.restore(file, f"{prefix}{DOCUMENTS}", {})


def growth_of(
    config: TrainConfig, model: Model, feed: Feed, total_steps: int, scratch: Path
) -> Growth | None:
    """The growth of a training; None if nothing is ever rewired, or if it needs no look at documents."""
    rewire = config.rewire
    words = config.chooses_words_again
    if (rewire.growth == "random" and not words) or next_rewiring(rewire, 1, total_steps) is None:
        return None
    documents: DocumentFeatures | None = None
    if words or rewire.growth == "documents":
        if feed.embeddings is not None:
            documents = FrozenFeatures(feed.embeddings, feed.num_documents)
        else:
            width = max(head.shape.first_feature + head.shape.in_features for head in model.heads)
            documents = WrittenFeatures(scratch / "features.f16", len(feed.shards), width)
    return Growth(config, model, feed, total_steps, documents)
