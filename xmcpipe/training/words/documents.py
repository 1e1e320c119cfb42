"""The words of the training documents over a vocabulary, in host memory.

N documents, T (document, word) pairs, V words.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from xmcpipe.data.shards.files import Int64s, Shards
from xmcpipe.data.word_vocabulary import WordVocabulary
from xmcpipe.ops.label_documents import DocumentWords

BLOCK_ROWS = 1 << 14  # documents that are read at a time
Part = tuple[Shards, Int64s]  # documents: rows of shards


def document_words(parts: Sequence[Part], vocabulary: WordVocabulary) -> DocumentWords:
    """The words of the documents of all parts, in their order; `mean` is that of the first part's documents.

    Word ids take 16 bits where the vocabulary has at most 65,536 words.
    """
    dtype = np.uint16 if len(vocabulary) <= 1 << 16 else np.int32
    words, values, lengths = [np.empty(0, dtype)], [np.empty(0, np.float32)], [np.zeros(1, np.int64)]
    for shards, rows_N in parts:
        for block in blocks(rows_N):
            found = vocabulary.weigh(shards.terms(block))
            words.append(found.ids.astype(dtype))
            values.append(found.values)
            lengths.append(np.bincount(found.rows, minlength=len(block)))
    words_T, values_T, begins_N = (
        np.concatenate(words),
        np.concatenate(values),
        np.cumsum(np.concatenate(lengths)),
    )
    count = len(parts[0][1])
    first = slice(int(begins_N[count]))
    mean_V = np.bincount(words_T[first], values_T[first], len(vocabulary)) / max(count, 1)
    return DocumentWords(begins_N, words_T, values_T, mean_V)


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

    def of(self, rows: Int64s) -> DocumentWords:
        """The words of some documents, given their rows of the shards (ascending)."""
        if len(rows) == len(self._rows_N):
            return self.documents
        return document_words([(self._shards, rows)], self.vocabulary)

    def number_of(self, rows: Int64s) -> Int64s:
        """The numbers of some documents, given their rows of the shards."""
        return np.searchsorted(self._rows_N, rows).astype(np.int64)
