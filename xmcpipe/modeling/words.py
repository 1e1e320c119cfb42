"""The words that a model reads beside the features: vocabulary and weights, saved with the model.

B documents of a batch, V words.
"""

from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from xmcpipe.data.shards.terms import Terms
from xmcpipe.data.word_vocabulary import WordVocabulary
from xmcpipe.ops.words import BatchWords

WordKind = Literal["words", "pairs"]


class WordSource(nn.Module):
    """Turns the terms of documents into the words of a batch; `kind` says which terms a text has.

    The vocabulary is two buffers, `codes` int64 [V] and `idf` float32 [V], so that checkpoints and saved
    models have it.
    """

    codes: torch.Tensor
    idf: torch.Tensor

    def __init__(self, kind: WordKind, num_words: int) -> None:
        super().__init__()
        self.kind = kind
        self.register_buffer("codes", torch.zeros(num_words, dtype=torch.int64))
        self.register_buffer("idf", torch.zeros(num_words))

    def set(self, vocabulary: WordVocabulary) -> None:
        """Copy a vocabulary of V words."""
        self.codes.copy_(torch.from_numpy(vocabulary.codes.astype(np.int64)))
        self.idf.copy_(torch.from_numpy(vocabulary.idf))

    @property
    def facts(self) -> dict[str, Any]:
        """What model.json says of the words: {"kind": …, "count": V}."""
        return {"kind": self.kind, "count": len(self.idf)}

    @property
    def vocabulary(self) -> WordVocabulary:
        """The vocabulary, in host memory."""
        return WordVocabulary(self.codes.cpu().numpy().astype(np.uint32), self.idf.cpu().numpy())

    def batch(self, terms: Terms) -> BatchWords:
        """The words of a batch of documents, on the device of the model."""
        found = self.vocabulary.weigh(terms)
        ids_T, values_T, rows_T = (
            torch.from_numpy(part).to(self.codes.device) for part in (found.ids, found.values, found.rows)
        )
        return BatchWords.of(ids_T, values_T, rows_T, len(terms.lengths))
