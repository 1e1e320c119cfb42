"""Growth of words: at a rewiring, labels drop words of little weight for those that they still lack.

Each document of a label counts by what its score lacks: the gradient of the loss there, 0 for a document that
the label already scores high. The words that stand out in documents that are still wrong are those that no
other feature explains yet (`ops.words.choice`).

P (label, document) pairs, R pairs of a piece, C labels of a chunk, K fan-in, K' words that a label reads.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from xmcpipe.modeling.heads import Head
from xmcpipe.ops.label_documents import LabelDocuments, LabelFeatures, LabelWords
from xmcpipe.ops.losses.loss import loss_named
from xmcpipe.ops.rounding import decoded
from xmcpipe.ops.topology import chunk_rows, to_index
from xmcpipe.ops.word_layer import WordLayer
from xmcpipe.ops.words.choice import fill_best
from xmcpipe.ops.words.pairs import add_feature_scores, add_word_scores
from xmcpipe.training.growth.units import GradientTable, places_
from xmcpipe.training.words.documents import TrainingWords
from xmcpipe.training.words.scores import on_host

Int64s = npt.NDArray[np.int64]
Features = Callable[[Int64s], npt.NDArray[np.float32]]
PIECE_VALUES = 1 << 22  # of the features of pairs: 16 MiB


class WordGrowth:
    """Chooses words of `head` again; `loss` is that of the training.

    `words` are those of the training documents.
    """

    def __init__(self, head: Head, loss: str, words: TrainingWords) -> None:
        self._head, self._words = head, words
        self._lacking_S = -GradientTable.of(loss_named(loss).in_place, torch.device("cpu")).of_positives()

    @torch.no_grad()
    def rewire(self, labels_P: Int64s, documents_P: Int64s, features: Features, count: int) -> int:
        """Drop up to `count` words of each label for others, in place; returns how many were chosen.

        `labels_P` (local, ascending) and `documents_P` (rows of the shards) are the pairs; `features` returns
        the features of some documents, float32 [R, D].

        Places without a word are filled first, then those with the smallest |weight|, of equal ones the
        first. New words have weight 0.
        """
        head, layer, chosen = self._head, self._head.word_layer, 0
        assert layer is not None, "the head reads words"
        for begin, end in head.chunks(chunk_rows(2 * (head.shape.fan_in + head.shape.word_fan_in))):
            low, high = np.searchsorted(labels_P, [begin, end])
            pairs = LabelDocuments.of(labels_P[low:high] - begin, documents_P[low:high], end - begin)
            words = on_host(layer.part(begin, end))
            scores_P = self._feature_scores(pairs, begin, end, features)
            pairs = pairs._replace(documents=self._words.number_of(pairs.documents))
            add_word_scores(scores_P, pairs, self._words.documents, words)
            lacking_P = self._lacking_S[places_(torch.from_numpy(scores_P))].numpy()
            pairs = pairs._replace(weights=lacking_P)
            chosen += fill_best(words, _weakest(words, count), pairs, self._words.documents)
            _copy_back(layer.part(begin, end), words)
        return chosen

    def _index(self, begin: int, end: int) -> npt.NDArray[np.uint16]:
        """The features of each label of a chunk, which is of whole groups: [C, K]."""
        group = self._head.shape.group
        index_RK: npt.NDArray[np.uint16] = self._head.index[begin // group : -(-end // group)].cpu().numpy()
        return index_RK if group == 1 else index_RK.repeat(group, 0)[: end - begin]

    def _feature_scores(
        self, pairs: LabelDocuments, begin: int, end: int, features: Features
    ) -> npt.NDArray[np.float64]:
        """The scores of the pairs of the labels [begin, end) without their words, float64 [P]."""
        head = self._head
        weight_CK = decoded(head.weight.detach()[begin:end], torch.float32).cpu().numpy()
        layer = LabelFeatures(self._index(begin, end), weight_CK)
        number_P = np.repeat(np.arange(end - begin), np.diff(pairs.begins))
        scores_P = np.zeros(len(number_P))
        if head.bias is not None:
            scores_P += head.bias.detach()[begin:end].double().cpu().numpy()[number_P]
        piece = max(1, PIECE_VALUES // head.shape.in_features)
        for first in range(0, len(number_P), piece):
            here = slice(first, first + piece)
            add_feature_scores(scores_P[here], number_P[here], features(pairs.documents[here]), layer)
        return scores_P


def _weakest(words: LabelWords, count: int) -> npt.NDArray[np.int32]:
    """The places of each label to fill, int32 [C, count].

    First those without a word, then those with the smallest |weight|.
    """
    size_CK = np.where(words.index == words.none, np.float32(-1.0), np.abs(words.weight))
    return np.argsort(size_CK, axis=1, kind="stable")[:, :count].astype(np.int32)


def _copy_back(layer: WordLayer, words: LabelWords) -> None:
    layer.index.copy_(to_index(torch.from_numpy(words.index.astype(np.int32))))
    layer.weight.copy_(torch.from_numpy(words.weight))
