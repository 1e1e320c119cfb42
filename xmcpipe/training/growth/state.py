"""Growth by gradient in a training: it watches the steps, and rewires the head.

B rows of a batch, D features, E width of the embedding, L labels, K fan-in, T labels of a chunk.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xmcpipe.data.shards.files import Int64s
from xmcpipe.modeling.model import Model
from xmcpipe.modeling.tensors import TensorFile
from xmcpipe.ops.layer import Positives, Rewiring, SparseLayer
from xmcpipe.ops.rewire import rewire_by_
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.feed import Feed
from xmcpipe.training.growth.cache import DocumentFeatures, FrozenFeatures, WrittenFeatures
from xmcpipe.training.growth.choice import largest_unread
from xmcpipe.training.growth.gradient import AverageGradient, LabelledDocuments, chunk_labels
from xmcpipe.training.growth.ring import Kept, Ring
from xmcpipe.training.informed import pairs_by_label
from xmcpipe.training.rewiring import Cut, next_rewiring

RING, DOCUMENTS = "growth.ring.", "growth.documents."  # prefixes of the names of tensors


class Growth:
    """Growth by gradient of `model.head`; `documents` has the features of every document, or is None.

    A `State` (`updates.protocol`) of ring and cache. `total_steps` are those of the whole training.
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
        head, window = model.head, config.rewire.window
        self.ring = Ring(window, config.batch_size, head.shape.in_features, head.weight.device)
        self._pairs: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]] | None = None
        self._kept = False  # whether the next rewiring uses the batches of the present step

    def begin(self, step: int) -> None:
        """Begin step number `step`, from 1."""
        following = next_rewiring(self._config.rewire, step, self._total_steps)
        batches = None if following is None else (following - step) * self._config.accumulation
        self._kept = batches is not None and batches < self._config.rewire.window

    def see_features(self, features_BD: Tensor, positives: Positives) -> None:
        """Keep a batch, as the head reads it, if a rewiring will use it."""
        if self._kept:
            self.ring.keep(features_BD, positives)

    @torch.no_grad()
    def see_embedding(self, rows: Int64s, embedding_BE: Tensor) -> None:
        """Keep the features of the documents `rows`, from their embedding before dropout."""
        if self.documents is not None and not self._config.encoder.frozen:
            self.documents.keep(rows, self._model.features(embedding_BE))

    @torch.no_grad()
    def rewire(self, moments_LK: list[Tensor], cut: Cut) -> int:
        """Prune `cut` and regrow in place, as `rewiring.rewire` does, at the largest gradients."""
        head = self._model.head
        kept, width = self.ring.contents(), head.shape.in_features
        documents = self._of_ring(kept) if self.documents is None else self._of_cache(self.documents)
        average = AverageGradient(head, self._config.loss, kept, documents)

        def choose(labels_T: Tensor, index_TK: Tensor, pruned_TK: Tensor) -> Tensor:
            return largest_unread(average.of(labels_T), index_TK, pruned_TK)

        layer = SparseLayer(head.weight, head.index)
        # Seed and number of a rewiring are those of random numbers, which this growth doesn't use.
        pruning = Rewiring(cut.bits, cut.ties, 0, 1, head.shape.first_label, width, cut.row_count)
        rows = min(self._config.label_chunk, chunk_labels(width))
        return int(rewire_by_(layer, moments_LK, pruning, choose, rows))

    def _of_ring(self, kept: Kept) -> LabelledDocuments:
        shape = self._model.head.shape
        local = kept.pairs.within(shape.first_label, shape.first_label + shape.num_labels)
        return LabelledDocuments(local, lambda rows: kept.features[rows], len(kept.rows))

    def _of_cache(self, cache: DocumentFeatures) -> LabelledDocuments:
        """All documents seen so far, with the labels of the head."""
        shape, device = self._model.head.shape, self._model.head.weight.device
        if self._pairs is None:
            self._pairs = pairs_by_label(self._feed.shards, self._feed.train_rows)
        labels_P, documents_P = self._pairs
        low, high = np.searchsorted(labels_P, [shape.first_label, shape.first_label + shape.num_labels])
        labels_P, documents_P = labels_P[low:high] - np.int32(shape.first_label), documents_P[low:high]
        seen_P = cache.seen(documents_P.astype(np.int64))
        if not seen_P.all():
            labels_P, documents_P = labels_P[seen_P], documents_P[seen_P]
        pairs = Positives(*(torch.from_numpy(each).to(device).long() for each in (documents_P, labels_P)))

        def features(rows: Tensor) -> Tensor:
            return torch.from_numpy(cache.gather(rows.cpu().numpy())).to(device)

        return LabelledDocuments(pairs, features, max(cache.num_seen, 1))

    def flush(self) -> None:
        """Bring everything to the disk that a checkpoint refers to; call it before one is written."""
        if self.documents is not None:
            self.documents.flush()

    def checkpointed(self) -> None:
        """Note that a checkpoint of this state exists."""
        if self.documents is not None:
            self.documents.checkpointed()

    def tensors(self) -> dict[str, Tensor]:
        found = {f"{RING}{name}": tensor for name, tensor in self.ring.tensors().items()}
        if self.documents is not None:
            found |= {f"{DOCUMENTS}{name}": tensor for name, tensor in self.documents.tensors().items()}
        return found

    def facts(self) -> dict[str, Any]:
        return {"growth": self.ring.facts()}

    def restore(self, file: TensorFile, prefix: str, facts: dict[str, Any]) -> None:
        self.ring.restore(file, f"{prefix}{RING}", facts["growth"])
        if self.documents is not None:
            self.documents.restore(file, f"{prefix}{DOCUMENTS}", {})


def growth_of(
    config: TrainConfig, model: Model, feed: Feed, total_steps: int, scratch: Path
) -> Growth | None:
    """The growth of a training; None if it is random, or if nothing is ever rewired."""
    rewire = config.rewire
    if rewire.growth == "random" or next_rewiring(rewire, 1, total_steps) is None:
        return None
    documents: DocumentFeatures | None = None
    if rewire.growth == "documents" and feed.embeddings is not None:
        documents = FrozenFeatures(feed.embeddings, feed.num_documents)
    elif rewire.growth == "documents":
        width = model.head.shape.in_features
        documents = WrittenFeatures(scratch / "features.f16", len(feed.shards), width)
    return Growth(config, model, feed, total_steps, documents)
