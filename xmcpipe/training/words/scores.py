"""The words' part of the scores of chosen documents and labels, each the same in any chunk.

M sampled documents, T labels of a chunk, P (label, document) pairs, K' words that a label reads.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xmcpipe.data.shards.files import Int64s
from xmcpipe.modeling.heads import Head
from xmcpipe.ops.label_documents import DocumentWords, LabelDocuments, LabelWords
from xmcpipe.ops.word_layer import NO_WORD, BatchWords, WordLayer
from xmcpipe.ops.words.pairs import add_word_scores
from xmcpipe.ops.words.product import word_scores_


def on_host(layer: WordLayer) -> LabelWords:
    """A copy of the layer in host memory, its weights in float32."""
    index_LK = layer.index.to("cpu", copy=True).numpy()
    weight_LK = layer.weight.detach().to("cpu", torch.float32, copy=True).numpy()
    return LabelWords(index_LK, weight_LK, NO_WORD)


def _words_of(head: Head, labels_T: Tensor) -> WordLayer:
    """The words of some labels of a head (local, int64 [T]), copied."""
    layer = head.word_layer
    assert layer is not None, "the head reads words"
    # The same bits as int16: torch can't index uint16 on CUDA.
    index_TK = layer.index.view(torch.int16)[labels_T].view(torch.uint16)
    return WordLayer(layer.weight.detach()[labels_T], index_TK)


@dataclass(frozen=True)
class WordScores:
    """The words' part of the scores of `head`.

    `sample` has the words of the M sampled documents; `documents` those of all documents of pairs, of which
    `number_of` returns the numbers (int64 [P] each).
    """

    head: Head
    sample: BatchWords
    documents: DocumentWords
    number_of: Callable[[Int64s], Int64s]

    def of_sample(self, labels_T: Tensor) -> Tensor:
        """Of every sampled document and the labels `labels_T` (local, int64): float32 [M, T]."""
        scores_MT = self.sample.values_UB.new_zeros(self.sample.values_UB.shape[1], len(labels_T))
        word_scores_(scores_MT, self.sample, _words_of(self.head, labels_T))
        return scores_MT

    def of_pairs(self, labels_T: Tensor, number_P: Tensor, document_P: Tensor) -> Tensor:
        """Of pairs of a label, number `number_P` of `labels_T`, and a document: float64 [P].

        `number_P` ascends; all are int64. The result is on the device of the head.
        """
        scores_P: npt.NDArray[np.float64] = np.zeros(len(number_P))
        documents_P = self.number_of(document_P.cpu().numpy())
        pairs = LabelDocuments.of(number_P.cpu().numpy(), documents_P, len(labels_T))
        add_word_scores(scores_P, pairs, self.documents, on_host(_words_of(self.head, labels_T)))
        return torch.from_numpy(scores_P).to(self.head.weight.device)
