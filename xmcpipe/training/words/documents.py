"""The words of the training documents over a vocabulary, in host memory.

N documents, T (document, word) pairs, V words.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property

import numpy as np

from xmcpipe.data.shards.files import Int64s, Shards
from xmcpipe.data.word_vocabulary import WordVocabulary
from xmcpipe.ops.label_documents import DocumentWords

BLOCK_ROWS = 1 << 14  # documents that are read at a time
Part = tuple[Shards, Int64s]  # documents: rows of shards


def document_words(parts: Iterable[Part], vocabulary: WordVocabulary) -> DocumentWords:
    """The words of the documents of all parts, in their order; `mean` is that of the first part's documents.

    Word ids take 16 bits where the vocabulary has at most 65,536 words.
    """
    dtype = np.uint16 if len(vocabulary) <= 1 << 16 else np.int32
    words, values, lengths = [np.empty(0, dtype)], [np.empty(0, np.float32)], [np.empty(0, np.int64)]
    total = np.zeros(len(vocabulary))
    for number, (shards, rows_N) in enumerate(parts):
        for block in blocks(rows_N):
            found = vocabulary.weigh(shards.terms(block))
            words.append(found.ids.astype(dtype))
            values.append(found.values)
            lengths.append(np.bincount(found.rows, minlength=len(block)))
            if number == 0:
                total += np.bincount(found.ids, found.values, minlength=len(vocabulary))
        if number == 0:
            mean = total / max(len(rows_N), 1)
    begins = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
    return DocumentWords(begins, np.concatenate(words), np.concatenate(values), mean)


def blocks(rows_N: Int64s) -> Iterator[Int64s]:
    """The rows, a block at a time."""
    for begin in range(0, len(rows_N), BLOCK_ROWS):
        yield rows_N[begin : begin + BLOCK_ROWS]


class TrainingWords:
    """The words of the training documents, rows `rows_N` of `shards` (ascending), read at their first use."""

    def __init__(self, shards: Shards, rows_N: Int64s, vocabulary: WordVocabulary) -> None:
        self._shards, self._rows_N, self.vocabulary = shards, rows_N, vocabulary

    @cached_property
    def documents(self) -> DocumentWords:
        """The words of all, numbered as in `rows_N`."""
        return document_words([(self._shards, self._rows_N)], self.vocabulary)

    def number_of(self, rows: Int64s) -> Int64s:
        """The numbers of some documents, given their rows of the shards."""
        return np.searchsorted(self._rows_N, rows).astype(np.int64)
