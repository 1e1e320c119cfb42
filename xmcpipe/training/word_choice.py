"""Which words the labels of a head read: those that tell the documents of a label from all others.

The mean tf-idf of a word in the documents of a label, and in its text if it has one, is compared with the
mean m in all documents: the words with the largest (mean - m) / sqrt(m) are chosen. The values of a rare
word vary about as its mean does, so this is a z score but for a factor that all words of a label share.

The vocabulary of a model has at most 65,535 words, so that an index takes 16 bits. Every label first chooses
among up to a million terms; the vocabulary is the terms that most labels chose, and the labels choose again
among these. Both are sums over the pairs of one chunk of labels at a time, never a matrix [L, V].

N training documents, L labels, V words, K' words of a label, C labels of a chunk.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from xmcpipe.data.shards.files import Int64s, Shards
from xmcpipe.data.terms import Uint32s
from xmcpipe.data.word_vocabulary import WordVocabulary
from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling.heads import Head
from xmcpipe.modeling.words import WordKind
from xmcpipe.ops.topology import to_index
from xmcpipe.ops.word_layer import MAX_WORDS, NO_WORD

BLOCK_ROWS = 1 << 14  # documents that are read at a time
CHUNK_LABELS = 2048
MAX_CANDIDATES = 1 << 20
MAX_COUNTED = 1 << 25  # terms that are counted at a time
SMOOTHING = 1e-4  # of m: without it a word in one document would beat all others


@dataclass(frozen=True)
class WordChoice:
    """A vocabulary and the words of each label: `index_LK` int32 [L, K'], NO_WORD where a label has fewer."""

    vocabulary: WordVocabulary
    index_LK: npt.NDArray[np.int32]
    kind: WordKind

    def apply(self, head: Head) -> None:
        """Set the words that the labels of `head` read."""
        layer = head.word_layer
        assert layer is not None, "the head reads words"
        mine = self.index_LK[head.shape.first_label :][: head.num_labels]
        layer.index.copy_(to_index(torch.from_numpy(mine)))


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
    codes, documents = _document_counts(shards, rows_N)
    if len(codes) > MAX_CANDIDATES:
        most = np.sort(np.argsort(-documents, kind="stable")[:MAX_CANDIDATES])
        codes, documents = codes[most], documents[most]
    vocabulary = WordVocabulary.counted(codes, documents, len(rows_N))
    pairs = _Pairs(shards, rows_N, label_texts, num_labels, vocabulary)
    index_LK = pairs.best(fan_in)
    if len(vocabulary) > MAX_WORDS:
        chosen = np.bincount(index_LK[index_LK != NO_CANDIDATE], minlength=len(vocabulary))
        # Of words that equally many labels chose, those of more documents.
        order = np.lexsort((-documents, -chosen))
        vocabulary = vocabulary.kept(order[:MAX_WORDS])
        pairs = _Pairs(shards, rows_N, label_texts, num_labels, vocabulary)
        index_LK = pairs.best(fan_in)
    return WordChoice(vocabulary, np.where(index_LK == NO_CANDIDATE, NO_WORD, index_LK), kind)


NO_CANDIDATE = np.int32(-1)


def _document_counts(shards: Shards, rows_N: Int64s) -> tuple[Uint32s, Int64s]:
    """The terms of two documents or more, uint32 ascending, and the number of documents of each, int64."""
    codes: Uint32s = np.empty(0, np.uint32)
    counts: Int64s = np.empty(0, np.int64)
    for block in _blocks(rows_N):
        new, new_counts = np.unique(shards.terms(block).codes, return_counts=True)
        codes, place = np.unique(np.concatenate([codes, new]), return_inverse=True)
        # float64 holds counts exactly up to 2^53.
        counts = np.bincount(place, np.concatenate([counts, new_counts])).astype(np.int64)
        if len(codes) > MAX_COUNTED:  # a term that is that rare by now is not among the most useful ones
            codes, counts = codes[counts > 1], counts[counts > 1]
    return codes[counts > 1], counts[counts > 1]


class _Pairs:
    """Documents and label texts as a matrix over a vocabulary, and the documents of each label."""

    def __init__(
        self,
        shards: Shards,
        rows_N: Int64s,
        label_texts: Shards,
        num_labels: int,
        vocabulary: WordVocabulary,
    ) -> None:
        parts = [(shards, rows_N)]
        if label_texts.has_terms:
            parts.append((label_texts, np.arange(len(label_texts))))
        width, num_documents = len(vocabulary), sum(len(rows) for _, rows in parts)
        words = sparse.vstack(
            [_matrix(part, block, vocabulary) for part, rows in parts for block in _blocks(rows)]
            or [sparse.csr_matrix((0, width), dtype=np.float32)],
            format="csr",
        )
        labels = [part.labels.gather(rows) for part, rows in parts]
        label_of_pair = np.concatenate([values for values, _ in labels])
        counts = np.concatenate([lengths for _, lengths in labels])
        document_of_pair = np.repeat(np.arange(num_documents), counts)
        ones = np.ones(len(label_of_pair), np.float32)
        self.documents_LN = sparse.csr_matrix(
            (ones, (label_of_pair, document_of_pair)), (num_labels, num_documents)
        )
        self.words_NV = words
        self.mean_V = np.asarray(words[: len(rows_N)].mean(0), np.float64).ravel()

    def best(self, fan_in: int) -> npt.NDArray[np.int32]:
        """The best words of each label, int32 [L, K'], the best first; NO_CANDIDATE where there are fewer."""
        num_labels = self.documents_LN.shape[0]
        index_LK = np.full((num_labels, fan_in), NO_CANDIDATE, np.int32)
        for begin in range(0, num_labels, CHUNK_LABELS):
            documents_CN = self.documents_LN[begin : begin + CHUNK_LABELS]
            sums_CV = (documents_CN @ self.words_NV).tocsr()
            sizes = np.maximum(np.diff(documents_CN.indptr), 1)
            # One small sort for each label: a single sort over the chunk's pairs takes longer.
            for label in range(len(sizes)):
                here = slice(sums_CV.indptr[label], sums_CV.indptr[label + 1])
                words, means = sums_CV.indices[here], sums_CV.data[here] / sizes[label]
                surplus = means - self.mean_V[words]
                scores = surplus / np.sqrt(self.mean_V[words] + SMOOTHING)
                # Of equal scores the first word, whatever the order of the sparse sums.
                order = np.lexsort((words, -scores))[:fan_in]
                best = words[order[scores[order] > 0.0]]
                index_LK[begin + label, : len(best)] = best
        return index_LK


def _matrix(shards: Shards, rows: Int64s, vocabulary: WordVocabulary) -> sparse.csr_matrix:
    """The documents of `rows` over the vocabulary, float32 [rows, V]."""
    found = vocabulary.weigh(shards.terms(rows))
    return sparse.csr_matrix((found.values, (found.rows, found.ids)), (len(rows), len(vocabulary)))


def _blocks(rows: Int64s) -> Iterator[Int64s]:
    for begin in range(0, len(rows), BLOCK_ROWS):
        yield rows[begin : begin + BLOCK_ROWS]
