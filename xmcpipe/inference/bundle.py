"""A model artifact as one object that maps texts to label names with scores.

It needs neither shards nor raw data. B texts of a batch, K labels for each.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from xmcpipe.data.explanation import WordExplainer, WordParts
from xmcpipe.data.shards.batches import HostBatch, pad
from xmcpipe.data.terms import document_terms
from xmcpipe.inference.propensity import favour_rare_labels
from xmcpipe.inference.scorer import Scorer
from xmcpipe.modeling.encoder import load_tokenizer
from xmcpipe.modeling.saved import load_model


class Prediction(NamedTuple):
    """One label of a text: its name, its description if the vocabulary has one, and its score.

    `words`: the words of the text with the largest part in the score, if they were asked for.
    """

    label: str
    text: str | None
    score: float
    words: WordParts | None = None


class Bundle:
    """A trained model with its tokenizer and label vocabulary: `Bundle.load(folder).predict(texts, k=5)`."""

    def __init__(
        self,
        scorer: Scorer,
        tokenizer: Any,
        max_length: int,
        labels: pa.Table,
        explainer: WordExplainer | None = None,
    ) -> None:
        self._explainer = explainer
        self._scorer, self._tokenizer, self._max_length = scorer, tokenizer, max_length
        self._names, self._texts = labels["label"], labels["text"]

    @staticmethod
    def load(
        folder: Path,
        device: str = "cpu",
        precision: str = "float32",
        label_chunk: int = 131_072,
        explain: bool = False,
        propensity_weight: float = 0.0,
    ) -> "Bundle":
        """Load the model artifact in `folder`; at most `label_chunk` labels are scored at a time.

        With `explain`, predictions have words. `propensity_weight` favours rare labels, see
        `inference.propensity`. Raises XmcpipeError if the folder is not a model artifact, or if the model has
        to explain but reads no words.
        """
        explainer = WordExplainer(folder) if explain else None
        model, facts = load_model(folder)
        if propensity_weight:
            favour_rare_labels(model, folder, facts, propensity_weight)
        scorer = Scorer(model, torch.device(device), precision, label_chunk)
        tokenizer = load_tokenizer(str(folder / "tokenizer"))
        labels = pq.read_table(folder / "labels.parquet")
        return Bundle(scorer, tokenizer, facts["max_length"], labels, explainer)

    def predict(self, texts: Iterable[str], k: int = 5, batch_size: int = 64) -> Iterator[list[Prediction]]:
        """The k best labels of each text, best first; fewer if the model has fewer labels.

        Texts are read lazily, `batch_size` at a time, and results come in their order.
        """
        stream = iter(texts)
        while batch := list(islice(stream, batch_size)):
            labels_BK, scores_BK = self._scorer.top(self._encode(batch), k)
            for text, labels, scores in zip(batch, labels_BK.tolist(), scores_BK, strict=True):
                words: list[WordParts | None] = [None] * len(labels)
                if self._explainer is not None:
                    words = list(self._explainer.parts(text, labels))
                yield [
                    Prediction(self._names[label].as_py(), self._texts[label].as_py(), float(score), parts)
                    for label, score, parts in zip(labels, scores, words, strict=True)
                ]

    def _encode(self, texts: list[str]) -> HostBatch:
        pad_id = self._tokenizer.pad_token_id or 0
        encoded = self._tokenizer(texts, truncation=True, max_length=self._max_length)["input_ids"]
        lists = [tokens or [pad_id] for tokens in encoded]  # an encoder can't pool an empty sequence
        lengths = np.array([len(tokens) for tokens in lists], np.int32)
        input_ids_BS, mask_BS = pad(np.concatenate(lists).astype(np.int32), lengths, pad_id)
        no_pairs, words = np.empty(0, np.int64), self._scorer.model.words
        terms = None if words is None else document_terms(texts, words.kind == "pairs")
        return HostBatch(input_ids_BS, mask_BS, no_pairs, no_pairs, terms)
