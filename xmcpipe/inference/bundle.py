"""A model artifact as one object that maps texts to label names with scores.

It needs neither shards nor raw data. N texts of a call, B texts of a batch, K labels for each, L labels.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from xmcpipe.calibration.files import has_calibration
from xmcpipe.calibration.saved import read_calibration
from xmcpipe.data.explanation import WordExplainer, WordParts
from xmcpipe.data.terms import document_terms
from xmcpipe.data.vocabulary_file import read_vocabulary
from xmcpipe.errors import XmcpipeError
from xmcpipe.inference.probability import Order, Probabilities, probabilities
from xmcpipe.inference.propensity import favour_rare_labels
from xmcpipe.inference.scorer import Scorer
from xmcpipe.inference.selection import Selection, Wanted
from xmcpipe.inference.text_encoding import TextEncoder, is_blank
from xmcpipe.modeling.devices import pick_device
from xmcpipe.modeling.model import Model, embedding_size
from xmcpipe.modeling.saved import load_model
from xmcpipe.pieces import Pieces

PROBE_TOKENS = 1024  # more would take long; few encoders have positions for more


class Prediction(NamedTuple):
    """One label of a text.

    `label`: its name. `text`: its description, None if the vocabulary has none. `score`: what labels are
    ordered by, any number. `probability`: from 0 to 1, as calibrated on held-out documents. Without a
    calibration it is the logistic function of the score, which is what a model trained with the loss bce
    learns as the probability of the label, and None for other losses. What predict.propensity_weight adds to
    the score isn't part of it.
    `words`: the words of the text with the largest part in the score, if they were asked for.
    """

    label: str
    text: str | None
    score: float
    probability: float | None = None
    words: WordParts | None = None


class Top(NamedTuple):
    """Labels int32, scores float32 and probabilities float32, [N, K] each, best first.

    The label -1 stands for none: a blank text has none, and those after a cut are not predicted.
    `probabilities` are None if scores have none.
    """

    labels: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32] | None

    def row(self, number: int) -> "Top":
        """Those of one text, [n] each, without places that have no label."""
        present = self.labels[number] >= 0
        found = None if self.probabilities is None else self.probabilities[number][present]
        return Top(self.labels[number][present], self.scores[number][present], found)


class Bundle:
    """A trained model with its tokenizer and label vocabulary.

    `Bundle.load(folder).predict(texts, Selection(k=5))` labels texts.

    `labels` is the vocabulary, with the columns label and text; row i is label id i. `probabilities` turn
    scores into probabilities, None if the scores have none.
    """

    def __init__(
        self,
        scorer: Scorer,
        texts: TextEncoder,
        labels: pa.Table,
        explainer: WordExplainer | None = None,
        probabilities: Probabilities | None = None,
    ) -> None:
        self._scorer, self._texts, self._explainer = scorer, texts, explainer
        self.probabilities = probabilities
        self.labels = labels

    @staticmethod
    def load(
        folder: Path,
        device: str = "cpu",
        precision: str = "float32",
        label_chunk: int = 131_072,
        explain: bool = False,
        propensity_weight: float = 0.0,
        calibration: Path | None = None,
        order: Order = "score",
    ) -> "Bundle":
        """Load the model artifact in `folder`; at most `label_chunk` labels are scored at a time.

        `device`, `precision`, `propensity_weight` and `order` are as in the table [predict]. With `explain`,
        predictions have words. The folder `calibration`, by default that of the model if it has one, has the
        calibration of the model. Raises XmcpipeError if the folder is not a model artifact, for a device that
        can't be used, if the model has to explain but reads no words, and for the order "probability" without
        a calibration.
        """
        explainer = WordExplainer(folder) if explain else None
        model, facts = load_model(folder)
        labels = read_vocabulary(folder, model.head.shape.num_labels)
        added_L = None
        if propensity_weight:
            added_L = favour_rare_labels(model, folder, facts, propensity_weight)
        texts = TextEncoder(folder / "tokenizer", Pieces.of(facts))
        require_encodable(model, texts.num_tokens, facts["max_length"], folder)
        scorer = Scorer(model, pick_device(device), precision, label_chunk)
        calibrated = None
        if calibration is not None or has_calibration(folder):
            calibrated = read_calibration(calibration or folder, len(labels))
        found = probabilities(facts, added_L, calibrated, order, folder)
        return Bundle(scorer, texts, labels, explainer, found)

    @property
    def device(self) -> torch.device:
        """Where texts are scored."""
        return self._scorer.device

    @property
    def has_probabilities(self) -> bool:
        """Whether scores have a probability: with a calibration, or if the model was trained with bce."""
        return self.probabilities is not None

    def select(self, wanted: Wanted, model: object) -> Selection:
        """What this model predicts if `wanted`; errors name `model`. Raises as `Wanted.selection` does."""
        return wanted.selection(self.labels, self.probabilities, model)

    def predict(
        self, texts: Iterable[str], selection: Selection, batch_size: int = 64
    ) -> Iterator[list[Prediction]]:
        """The selected labels of each text, best first; none for a blank text.

        Texts are read lazily, `batch_size` at a time, and results come in their order.
        """
        stream = iter(texts)
        while batch := list(islice(stream, batch_size)):
            top = self.top(batch, selection, batch_size)
            for row, text in enumerate(batch):
                yield self._named(text, top.row(row))

    def embed(self, texts: Sequence[str], batch_size: int = 64) -> npt.NDArray[np.float32]:
        """The embeddings of N texts, float32 [N, E], before any intermediate layer of the model."""
        if not texts:
            return np.zeros((0, embedding_size(self._scorer.model.encoder)), np.float32)
        tokens = self._texts.encode(texts)
        embedding_NE = self._scorer.embed_all(tokens.lengths, batch_size, tokens.batch)
        found: npt.NDArray[np.float32] = embedding_NE.float().cpu().numpy()
        return found

    def top(self, texts: Sequence[str], selection: Selection, batch_size: int) -> Top:
        """The selected labels of N texts. At most `batch_size` texts are scored at a time.

        The result is in their order.
        """
        k, choice = selection.most(len(self.labels)), selection.choice
        count = k if self.probabilities is None else self.probabilities.count(k)
        count = min(count, len(self.labels) if choice is None else choice.count)
        added_L = None if choice is None else choice.added_L.to(self.device)
        labels_NK, scores_NK = (
            np.full((len(texts), count), -1, np.int32),
            np.zeros((len(texts), count), np.float32),
        )
        present = np.array([row for row, text in enumerate(texts) if not is_blank(text)], np.int64)
        if len(present):
            tokens, words = self._texts.encode([texts[row] for row in present]), self._scorer.model.words
            embedding_NE = self._scorer.embed_all(tokens.lengths, batch_size, tokens.batch, to_score=True)
            for begin in range(0, len(present), batch_size):
                rows, terms = present[begin : begin + batch_size], None
                if words is not None:
                    terms = document_terms([texts[row] for row in rows], words.kind == "pairs")
                best = self._scorer.best(embedding_NE[begin : begin + batch_size], terms, count, added_L)
                labels_NK[rows], scores_NK[rows] = best
        return Top(*selection.decide(labels_NK, scores_NK, self.probabilities, k))

    def _named(self, text: str, best: Top) -> list[Prediction]:
        """The labels of one text with their names, descriptions, scores, probabilities and words."""
        labels = best.labels.tolist()
        words: Sequence[WordParts | None] = [None] * len(labels)
        if self._explainer is not None:
            words = self._explainer.parts(text, labels)
        found = [None] * len(labels) if best.probabilities is None else best.probabilities.tolist()
        names, texts = self.labels["label"], self.labels["text"]
        return [
            Prediction(names[label].as_py(), texts[label].as_py(), *numbers)
            for label, *numbers in zip(labels, best.scores.tolist(), found, words, strict=True)
        ]


def require_encodable(model: Model, num_tokens: int, max_length: int, folder: Path) -> None:
    """Raise XmcpipeError unless the encoder has embeddings for all ids of the tokenizer, and for its lengths.

    The encoder itself is asked, because each family has its own rules. On the CPU: on a GPU, an id without an
    embedding ends the process.
    """
    ids_BS = torch.full((1, max(1, min(max_length, PROBE_TOKENS))), num_tokens - 1)
    try:
        with torch.inference_mode():
            model.embed(ids_BS, torch.ones_like(ids_BS))
    except (IndexError, RuntimeError, ValueError, TypeError) as error:
        raise XmcpipeError(
            f"{folder}: the encoder can't encode a text of its tokenizer, {ids_BS.shape[1]} tokens of id "
            f"{num_tokens - 1}: {error}",
            "train the model again",
        ) from error
