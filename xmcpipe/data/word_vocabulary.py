"""The words that a model reads, and the tf-idf weights of documents over them.

The weight of a term in a document is (1 + ln(count)) * idf, idf = ln(N / documents with the term) + 1, and
the weights of a document have norm 1: the definition of scikit-learn's TfidfVectorizer with sublinear_tf and
without smoothing. NumPy only.

V words, T (document, word) pairs.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from xmcpipe.data.terms import Terms, Uint32s

Floats = npt.NDArray[np.float32]
Int64s = npt.NDArray[np.int64]


class WordRows(NamedTuple):
    """The words of documents: `rows` int64 [T] ascend, `ids` int64 [T] in [0, V), `values` float32 [T]."""

    rows: Int64s
    ids: Int64s
    values: Floats


class WordVocabulary:
    """V words: `codes` uint32 [V], ascending, and `idf` float32 [V]."""

    def __init__(self, codes: Uint32s, idf: Floats) -> None:
        self.codes, self.idf = codes, idf

    def __len__(self) -> int:
        return len(self.codes)

    @staticmethod
    def counted(codes: Uint32s, documents: Int64s, num_documents: int) -> "WordVocabulary":
        """The vocabulary of `codes`, of which each is in so many of `num_documents` documents."""
        return WordVocabulary(codes, (np.log(num_documents / documents) + 1.0).astype(np.float32))

    def weigh(self, terms: Terms) -> WordRows:
        """The documents' words that the vocabulary has, with their weights."""
        rows = np.repeat(np.arange(len(terms.lengths), dtype=np.int64), terms.lengths)
        if len(self.codes) == 0:
            return WordRows(rows[:0], rows[:0], np.empty(0, np.float32))
        place = np.minimum(np.searchsorted(self.codes, terms.codes), len(self.codes) - 1)
        known = self.codes[place] == terms.codes
        rows, ids, counts = rows[known], place[known], terms.counts[known]
        values = (1.0 + np.log(counts.astype(np.float32))) * self.idf[ids]
        squares = np.bincount(rows, np.square(values, dtype=np.float64), minlength=len(terms.lengths))
        return WordRows(rows, ids, (values / np.sqrt(squares[rows])).astype(np.float32))

    def kept(self, ids: Int64s) -> "WordVocabulary":
        """The vocabulary of the words `ids` alone."""
        ids = np.sort(ids)
        return WordVocabulary(self.codes[ids], self.idf[ids])
