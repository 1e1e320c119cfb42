"""Which words the labels of a head read at first: those that tell the documents of a label from all others.

How words are compared says `ops.words.choice`; a label's text, if it has one, counts as one of its documents.

The vocabulary of a model has at most 65,535 words, so that an index takes 16 bits. Every label first chooses
among up to a million terms; the vocabulary is the terms that most labels chose, and the labels choose again
among these.

N training documents, L labels, V words, K' words of a label.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from xmcpipe.data.shards.files import Int64s, Shards
from xmcpipe.data.terms import Uint32s
from xmcpipe.data.word_vocabulary import WordVocabulary
from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling.heads import Head
from xmcpipe.modeling.model import Model
from xmcpipe.modeling.words import WordKind
from xmcpipe.ops.label_documents import LabelDocuments, LabelWords
from xmcpipe.ops.topology import to_index
from xmcpipe.ops.word_layer import MAX_WORDS, NO_WORD
from xmcpipe.ops.words.choice import fill_best
from xmcpipe.training.words.documents import Part, blocks, document_words
from xmcpipe.training.words.frequent import first_words

Indices = npt.NDArray[np.int32]

MAX_CANDIDATES = 1 << 20
MAX_COUNTED = 1 << 25  # terms that are counted at a time


@dataclass(frozen=True)
class WordChoice:
    """A vocabulary and the words of each label.

    `index_LK` int32 [L, K'], NO_WORD where a label has fewer; `frequent_HW` int32 [H, W] are those of the
    labels with a head of their own, None if there are none.
    """

    vocabulary: WordVocabulary
    index_LK: Indices
    kind: WordKind
    frequent_HW: Indices | None = None

    def apply(self, model: Model) -> None:
        """Set the words that the labels of the heads of `model` read."""
        _set(model.head, model.head.at_places(torch.from_numpy(self.index_LK)).numpy())
        if model.frequent is not None and self.frequent_HW is not None:
            _set(model.frequent.head, self.frequent_HW)


def _set(head: Head, index_nK: Indices) -> None:
    layer = head.word_layer
    assert layer is not None, "the head reads words"
    layer.index.copy_(to_index(torch.from_numpy(index_nK)))


def choose_words(
    shards: Shards,
    rows_N: Int64s,
    label_texts: Shards,
    num_labels: int,
    fan_in: int,
    kind: WordKind = "pairs",
) -> WordChoice:
    """Choose K' = `fan_in` words for each of `num_labels` labels, from terms of `kind`.

    `shards` has the documents, of which `rows_N` are trained on; `label_texts` has the texts of labels.
    Raises XmcpipeError for shards without terms.
    """
    if not shards.has_terms:
        raise XmcpipeError(
            f"train.head.word_fan_in is set, but the shards in {shards.folder} have no words",
            'set tokenize.words to "pairs" and tokenize again',
        )
    codes, counts = _document_counts(shards, rows_N)
    if len(codes) > MAX_CANDIDATES:
        most = np.sort(np.argsort(-counts, kind="stable")[:MAX_CANDIDATES])
        codes, counts = codes[most], counts[most]
    parts = [(shards, rows_N)]
    if label_texts.has_terms:
        parts.append((label_texts, np.arange(len(label_texts))))
    pairs = _pairs(parts, num_labels)
    vocabulary = WordVocabulary.counted(codes, counts, len(rows_N))
    index_LK = _best(parts, pairs, vocabulary, fan_in)
    if len(vocabulary) > MAX_WORDS:
        chosen = np.bincount(index_LK[index_LK != NO_CANDIDATE], minlength=len(vocabulary))
        # Of words that equally many labels chose, those of more documents.
        order = np.lexsort((-counts, -chosen))
        vocabulary = vocabulary.kept(order[:MAX_WORDS])
        index_LK = _best(parts, pairs, vocabulary, fan_in)
    return WordChoice(vocabulary, np.where(index_LK == NO_CANDIDATE, NO_WORD, index_LK), kind)


def choose_frequent_words(
    choice: WordChoice, shards: Shards, rows_N: Int64s, labels_H: Int64s, fan_in: int
) -> WordChoice:
    """The choice in which the labels `labels_H` read W = `fan_in` words each, in a head of their own.

    In the head of all labels they read none.
    """
    pairs = _pairs([(shards, rows_N)], len(choice.index_LK)).of_labels(labels_H)
    documents = document_words([(shards, rows_N)], choice.vocabulary)
    index_LK = choice.index_LK.copy()
    index_LK[labels_H] = NO_WORD
    return replace(choice, index_LK=index_LK, frequent_HW=first_words(documents, pairs, fan_in))


NO_CANDIDATE = np.int32(-1)


def _document_counts(shards: Shards, rows_N: Int64s) -> tuple[Uint32s, Int64s]:
    """The terms of two documents or more, uint32 ascending, and the number of documents of each, int64."""
    codes: Uint32s = np.empty(0, np.uint32)
    counts: Int64s = np.empty(0, np.int64)
    for block in blocks(rows_N):
        new, new_counts = np.unique(shards.terms(block).codes, return_counts=True)
        codes, place = np.unique(np.concatenate([codes, new]), return_inverse=True)
        # float64 holds counts exactly up to 2^53.
        counts = np.bincount(place, np.concatenate([counts, new_counts])).astype(np.int64)
        if len(codes) > MAX_COUNTED:  # a term that is that rare by now is not among the most useful ones
            codes, counts = codes[counts > 1], counts[counts > 1]
    return codes[counts > 1], counts[counts > 1]


def _pairs(parts: list[Part], num_labels: int) -> LabelDocuments:
    """The documents of each label, numbered through all parts."""
    labels = [shards.labels.gather(rows) for shards, rows in parts]
    label_of_pair = np.concatenate([values for values, _ in labels])
    counts = np.concatenate([lengths for _, lengths in labels])
    order = np.argsort(label_of_pair, kind="stable")
    document_of_pair = np.repeat(np.arange(len(counts)), counts)
    return LabelDocuments.of(label_of_pair[order], document_of_pair[order], num_labels)


def _best(parts: list[Part], pairs: LabelDocuments, vocabulary: WordVocabulary, fan_in: int) -> Indices:
    """The best words of each label, int32 [L, K'], the best first; NO_CANDIDATE where there are fewer."""
    num_labels = len(pairs.begins) - 1
    index_LK = np.full((num_labels, fan_in), NO_CANDIDATE, np.int32)
    layer = LabelWords(index_LK, np.zeros((num_labels, fan_in), np.float32), int(NO_CANDIDATE))
    places_LK = np.broadcast_to(np.arange(fan_in, dtype=np.int32), (num_labels, fan_in))
    fill_best(layer, np.ascontiguousarray(places_LK), pairs, document_words(parts, vocabulary))
    return index_LK
