"""Epochs over the documents of new labels and the background, of the output layer alone.

The encoder and an intermediate layer stay as they are. Losses of different labels don't depend on each other,
so training all rows and then putting the old ones back is the same as training the new ones alone.

n documents, B of a batch, E width of the embedding, L labels.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from xmcpipe.data.word_vocabulary import WordRows
from xmcpipe.growing.documents import Documents
from xmcpipe.growing.rows import put_back, rows_of
from xmcpipe.modeling.losses import scale
from xmcpipe.modeling.model import Model
from xmcpipe.ops.layer import Positives
from xmcpipe.progress import progress
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.feed import EmbeddedBatch, Frequent
from xmcpipe.training.schedule import rate_factor
from xmcpipe.training.updates.modes import updates_of

Int64s = npt.NDArray[np.int64]
SEED_OF_PASSES = 4  # of the streams of a seed


@dataclass(frozen=True)
class LabelledDocuments:
    """n documents and their pairs of row and label id, int64 [P, 2], sorted by row."""

    documents: Documents
    pairs_P2: Int64s

    def pairs_of(self, rows_B: Int64s) -> tuple[Int64s, Int64s]:
        """The pairs of some documents: number of the document among them, and label."""
        begins, ends = (np.searchsorted(self.pairs_P2[:, 0], rows_B, side) for side in ("left", "right"))
        found = np.concatenate([np.arange(b, e) for b, e in zip(begins, ends, strict=True)] or [begins])
        return np.repeat(np.arange(len(rows_B)), ends - begins), self.pairs_P2[found.astype(np.int64), 1]


def train_rows(
    model: Model,
    config: TrainConfig,
    data: LabelledDocuments,
    epochs: int,
    old_labels: int | None,
    seed: int,
    device: torch.device,
) -> None:
    """Train the head of `model` as `config` says, `epochs` times over `data`.

    The first `old_labels` rows, and those of frequent labels, stay as they are; None trains all.
    """
    model.requires_grad_(False)
    for head in model.heads:
        head.weight.requires_grad_(True)
        if head.bias is not None:
            head.bias.requires_grad_(True)
    saved = [] if old_labels is None else [rows_of(model.head, old_labels)]
    if old_labels is not None and model.frequent is not None:
        saved.append(rows_of(model.frequent.head, model.frequent.head.num_labels))
    _train(model, config, data, epochs, seed, device)
    for head, rows in zip(model.heads, saved, strict=False):  # none if all rows are trained
        put_back(head, rows)


def _train(
    model: Model, config: TrainConfig, data: LabelledDocuments, epochs: int, seed: int, device: torch.device
) -> None:
    updates, total = updates_of(config, model, device), len(data.documents)
    batches = -(-total // config.batch_size)
    random = np.random.default_rng([seed, SEED_OF_PASSES])
    frequent = None
    if model.frequent is not None:
        frequent = Frequent.of(model.frequent.labels.cpu().numpy(), model.head.num_labels)
    with progress("grow: epochs", epochs * batches, "steps") as bar:
        for step in range(epochs * batches):
            if step % batches == 0:
                order = random.permutation(total)
            begin = step % batches * config.batch_size
            rows_B = np.sort(order[begin : begin + config.batch_size])
            updates.begin(step, rate_factor(step, 0, epochs * batches))
            batch = _batch(model, data, rows_B, frequent, device)
            features_BD = model.features(batch.embedding_BE).detach()
            factor = scale(config.loss, config.bce_reduction, len(rows_B), model.head.num_labels)
            updates.backward(updates.main_loss(features_BD, batch, factor, 1.0))
            updates.step()
            bar.update(1)


def _batch(
    model: Model,
    data: LabelledDocuments,
    rows_B: Int64s,
    frequent: Frequent | None,
    device: torch.device,
) -> EmbeddedBatch:
    embedding_BE = data.documents.embedding_nE[torch.from_numpy(rows_B)].to(device)
    rows_P, labels_P = data.pairs_of(rows_B)
    places_P = model.head.places_of(torch.from_numpy(labels_P).to(device)).cpu().numpy()
    words, split = None, None
    if model.words is not None:
        found = data.documents.words[rows_B].tocoo()
        each = WordRows(found.row.astype(np.int64), found.col.astype(np.int64), found.data)
        words = model.words.batch(*each, len(rows_B))
    if frequent is not None:
        place_P = frequent.place_L[labels_P]
        mine_P = place_P >= 0
        split = (
            _positives(rows_P[~mine_P], places_P[~mine_P], device),
            _positives(rows_P[mine_P], place_P[mine_P], device),
        )
    return EmbeddedBatch(embedding_BE, _positives(rows_P, places_P, device), words, split)


def _positives(rows_P: Int64s, labels_P: Int64s, device: torch.device) -> Positives:
    return Positives.of(torch.from_numpy(rows_P).to(device), torch.from_numpy(labels_P).to(device))
