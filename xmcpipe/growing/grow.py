"""Adds labels to a model: from what the user gave to a model with more rows. L labels, M new ones."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from xmcpipe.config import from_table
from xmcpipe.errors import XmcpipeError
from xmcpipe.growing.background import Background, of_labels, of_training, texts_of_labels
from xmcpipe.growing.documents import Documents, Reader
from xmcpipe.growing.fit import Problem, Rows, fit_rows
from xmcpipe.growing.labels import NewLabels
from xmcpipe.growing.passes import LabelledDocuments, train_rows
from xmcpipe.growing.places import choose_places
from xmcpipe.growing.resembling import resembling
from xmcpipe.growing.rows import append_rows, require_growing
from xmcpipe.growing.settings import FitSettings
from xmcpipe.inference.scorer import Scorer
from xmcpipe.inference.text_encoding import TextEncoder
from xmcpipe.modeling.devices import pick_device
from xmcpipe.modeling.model import Model
from xmcpipe.modeling.saved import load_model
from xmcpipe.ops.losses.loss_table import require_loss
from xmcpipe.pieces import Pieces
from xmcpipe.training.config import TrainConfig

logger = logging.getLogger(__name__)
MOST_COMPARED = 512  # texts of labels, for their mean


@dataclass(frozen=True)
class Parent:
    """The model to grow: its folder, its vocabulary, and the shards and embeddings of its training, if any.

    `embeddings` are those of the shards, of a model with a frozen encoder.
    """

    folder: Path
    labels: pa.Table
    shards: Path | None = None
    embeddings: Path | None = None


@dataclass(frozen=True)
class Work:
    """How to grow: where to compute, how many documents of the training to compare with, and how to train.

    `rows` says which rows `epochs` train: the new ones, or all.
    """

    fit: FitSettings
    background: int
    epochs: int
    rows: Literal["new", "all"]
    device: str
    precision: str
    label_chunk: int


@dataclass(frozen=True)
class Grown:
    """The model with L + M labels, the facts of the old one (model.json), and documents of each new label."""

    model: Model
    facts: dict[str, Any]
    counts_M: npt.NDArray[np.int64]
    background: int


def grow(parent: Parent, new: NewLabels, work: Work) -> Grown:
    """The model of `parent` with the labels `new`.

    Raises XmcpipeError for a model whose output layer can't have more rows (`require_growing`), one that
    doesn't say how it was trained, and for epochs without documents.
    """
    model, facts = load_model(parent.folder)
    require_growing(model, parent.folder)
    config = _training_of(facts, parent.folder)
    if work.epochs and not new.documents:
        raise XmcpipeError("expected documents to train on with epochs, got none", "give --documents FILE")
    device = pick_device(work.device)
    scorer = Scorer(model, device, work.precision, work.label_chunk)
    reader = Reader(model, scorer, TextEncoder(parent.folder / "tokenizer", Pieces.of(facts)))
    background = _background(reader, parent, facts, work)
    documents = None
    if new.documents:
        documents = reader.of_texts(new.documents, "documents", background.documents)
    old, given = model.head.num_labels, new.documents_of(model.head.num_labels)
    kept = _without(background.documents, documents)
    everything = kept if documents is None else kept.and_then(documents)
    problem = Problem.of(everything, len(everything), int(facts["documents"]), config.loss)
    positives = [rows + len(kept) for rows in given]
    problem = _with_texts(problem, positives, new, _Texts(reader, parent.labels, background), work.fit)
    _require_others(problem, positives, new)
    places = choose_places(problem, positives, model.head, work.fit.seed)
    rows = fit_rows(problem, positives, places.features_MK, model.head.shape, work.fit)
    append_rows(model, _finite(rows, new), places.order_M)
    if work.epochs:
        assert documents is not None, "checked above"
        data = _labelled(background, documents, new.pairs_P2)
        last = old if work.rows == "new" else None
        train_rows(model, config, data, work.epochs, last, work.fit.seed, device)
    counts = np.array([len(each) for each in given], np.int64)
    return Grown(model.cpu(), facts, counts, len(background.documents))


def _training_of(facts: Mapping[str, Any], folder: Path) -> TrainConfig:
    """How the model was trained, with its encoder frozen and without the auxiliary loss."""
    table = facts.get("recipe", {}).get("train")
    if not isinstance(table, dict) or not isinstance(facts.get("documents"), int):
        raise XmcpipeError(f"{folder}: model.json doesn't say how the model was trained", "train it again")
    config = from_table(TrainConfig, {**table, "auxiliary": {}, "auto_rules": 0}, "train")
    require_loss(config.loss)
    return replace(config, encoder=replace(config.encoder, frozen=True))


def _background(reader: Reader, parent: Parent, facts: dict[str, Any], work: Work) -> Background:
    if parent.shards is None:
        return of_labels(reader, parent.labels, work.fit.seed)
    return of_training(reader, facts, parent.shards, parent.embeddings, work.background, work.fit.seed)


@dataclass(frozen=True)
class _Texts:
    """What the texts of labels are read with, and compared with."""

    reader: Reader
    labels: pa.Table
    background: Background


def _with_texts(
    problem: Problem,
    positives: list[npt.NDArray[np.int64]],
    new: NewLabels,
    texts: _Texts,
    settings: FitSettings,
) -> Problem:
    """Give each label its text, in `positives`; without documents, also those that resemble its text.

    Returns the problem with these texts. Where there are no documents of the training, none resembles them.
    """
    described = [m for m, text in enumerate(new.texts) if text is not None]
    if not described:
        return problem
    found = texts.reader.of_texts([str(new.texts[m]) for m in described], "texts of new labels")
    bare = [number for number, m in enumerate(described) if not len(positives[m])]
    if bare and texts.background.pairs_P2 is not None:
        centre = texts_of_labels(texts.reader, texts.labels, MOST_COMPARED, settings.seed)
        some = found.rows(np.array(bare, np.int64))
        alike = resembling(problem.documents, some, centre, settings.resembling)
        for number, rows in zip(bare, alike, strict=True):
            positives[described[number]] = np.sort(rows)
    for number, m in enumerate(described):
        positives[m] = np.append(positives[m], problem.num_negatives + number)
    return replace(problem, documents=problem.documents.and_then(found))


def _without(documents: Documents, others: Documents | None) -> Documents:
    repeated = set() if others is None else set(others.keys)
    rows = np.array([row for row, key in enumerate(documents.keys) if key not in repeated], np.int64)
    return documents if len(rows) == len(documents) else documents.rows(rows)


def _labelled(
    background: Background, documents: Documents, pairs_P2: npt.NDArray[np.int64]
) -> LabelledDocuments:
    """The given documents and, if their labels are known, those of the background that are others."""
    if background.pairs_P2 is None:
        return LabelledDocuments(documents, pairs_P2)
    given = {key: row for row, key in enumerate(documents.keys)}
    others = np.array(
        [row for row, key in enumerate(background.documents.keys) if key not in given], np.int64
    )
    number = np.full(len(background.documents), -1, np.int64)
    number[others] = np.arange(len(others))
    pairs = background.pairs_P2[number[background.pairs_P2[:, 0]] >= 0].copy()
    pairs[:, 0] = number[pairs[:, 0]]
    shifted = pairs_P2 + np.array([len(others), 0])
    return LabelledDocuments(
        background.documents.rows(others).and_then(documents), np.concatenate([pairs, shifted])
    )


def _require_others(problem: Problem, positives: list[npt.NDArray[np.int64]], new: NewLabels) -> None:
    """Raise XmcpipeError for a label that every document has: nothing would tell it from others."""
    for name, rows in zip(new.names, positives, strict=True):
        if np.count_nonzero(rows < problem.num_negatives) == problem.num_negatives:
            raise XmcpipeError(
                f"expected documents without the new label {name!r}, got none",
                "give documents of other labels",
            )


def _finite(rows: Rows, new: NewLabels) -> Rows:
    """The rows. Raises XmcpipeError if a number isn't finite."""
    sums_M = rows.weight.sum(1) + rows.word_weight.sum(1) + rows.bias
    for name, total in zip(new.names, sums_M, strict=True):
        if not np.isfinite(total):
            raise XmcpipeError(
                f"the row of the label {name!r} can't be fitted: it isn't finite", "check its documents"
            )
    return rows
