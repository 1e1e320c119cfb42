"""Documents as the rows of an output layer read them: features, words, and a key to recognise repeats.

n documents, W width of the features that the weights multiply, V words.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from xmcpipe.data.embeddings import EmbeddingTable
from xmcpipe.data.shards.batches import pad
from xmcpipe.data.shards.files import Int64s, Shards
from xmcpipe.data.terms import Terms, document_terms
from xmcpipe.data.word_vocabulary import WordVocabulary
from xmcpipe.inference.scorer import Scorer
from xmcpipe.inference.text_encoding import TextEncoder, TokenLists
from xmcpipe.modeling.model import Model, embedding_size
from xmcpipe.ops.label_documents import DocumentWords
from xmcpipe.progress import progress

BATCH_ROWS = 64  # documents that are encoded at a time
BLOCK_ROWS = 1024  # documents between two updates of the progress bar


@dataclass(frozen=True)
class Documents:
    """n documents.

    `embedding_nE` float32 [n, E], and `features_nW` float32 [n, W], on the host. `words` is CSR float32
    [n, V], tf-idf; V is 0 for a model that reads features alone. `keys` are equal for equal tokens.
    """

    embedding_nE: Tensor
    features_nW: Tensor
    words: sparse.csr_matrix
    keys: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.keys)

    def rows(self, rows: Int64s) -> "Documents":
        """Some of them."""
        places = torch.from_numpy(rows)
        keys = tuple(self.keys[row] for row in rows)
        return Documents(self.embedding_nE[places], self.features_nW[places], self.words[rows], keys)

    def and_then(self, others: "Documents") -> "Documents":
        """These, and `others` after them."""
        return Documents(
            torch.cat([self.embedding_nE, others.embedding_nE]),
            torch.cat([self.features_nW, others.features_nW]),
            sparse.vstack([self.words, others.words], format="csr"),
            self.keys + others.keys,
        )

    def document_words(self, mean_V: npt.NDArray[np.float64]) -> DocumentWords:
        """Their words, with `mean_V` as the mean of each."""
        begins, words = self.words.indptr.astype(np.int64), self.words.indices.astype(np.int32)
        return DocumentWords(begins, words, self.words.data.astype(np.float32), mean_V)


class Reader:
    """Reads documents as `model` does: texts with its tokenizer `texts`, or rows of shards.

    `encoder` encodes and scores nothing else; `batch_rows` documents at a time.
    """

    def __init__(self, model: Model, scorer: Scorer, texts: TextEncoder) -> None:
        self._model, self._scorer, self._texts = model, scorer, texts
        self._vocabulary = None if model.words is None else WordVocabulary(*model.words.arrays())

    def of_texts(self, texts: Sequence[str], what: str, known: Documents | None = None) -> Documents:
        """The documents of n texts; `what` they are is shown while they are encoded.

        Those with the tokens of a document of `known` have its embedding, and are not encoded again.
        """
        place = {} if known is None else {key: row for row, key in enumerate(known.keys)}
        parts, keys, terms = [], [], None
        with progress(f"grow: {what}", len(texts), "documents", scale=True) as bar:
            for begin in range(0, len(texts), BLOCK_ROWS):
                tokens = self._texts.encode(texts[begin : begin + BLOCK_ROWS])
                found = tokens.as_bytes()
                rows = np.array([place.get(key, -1) for key in found], np.int64)
                part_BE = torch.zeros(len(rows), self._width)
                if known is not None:
                    part_BE[torch.from_numpy(rows >= 0)] = known.embedding_nE[
                        torch.from_numpy(rows[rows >= 0])
                    ]
                fresh = np.flatnonzero(rows < 0)
                if len(fresh):
                    part_BE[torch.from_numpy(fresh)] = self._encoded(tokens, fresh)
                parts.append(part_BE)
                keys += found
                bar.update(len(rows))
        if self._model.words is not None:
            terms = document_terms(texts, self._model.words.kind == "pairs")
        return self._documents(parts, terms, tuple(keys))

    def _encoded(self, tokens: TokenLists, rows: Int64s) -> Tensor:
        """The embeddings of some rows of `tokens`, float32 [B, E]."""
        return self._scorer.embed_all(
            tokens.lengths[rows], BATCH_ROWS, lambda some: tokens.batch(rows[some])
        ).cpu()

    @property
    def _width(self) -> int:
        return embedding_size(self._model.encoder)

    def of_shards(self, shards: Shards, rows_n: Int64s, embeddings: EmbeddingTable | None) -> Documents:
        """The documents of rows of `shards`, int64 [n]; they are encoded unless there are `embeddings`."""
        values, lengths = shards.tokens.gather(rows_n)
        ends = np.cumsum(lengths)
        keys = tuple(values[end - length : end].tobytes() for end, length in zip(ends, lengths, strict=True))
        terms = shards.terms(rows_n) if self._model.words is not None else None
        if embeddings is not None:
            return self._documents([torch.from_numpy(embeddings.gather(rows_n))], terms, keys)
        parts = []
        with progress("grow: documents of the training", len(rows_n), "documents", scale=True) as bar:
            for begin in range(0, len(rows_n), BLOCK_ROWS):
                block = rows_n[begin : begin + BLOCK_ROWS]

                def tokens(some: Int64s, block: Int64s = block) -> tuple[Int64s, Int64s]:
                    return pad(*shards.tokens.gather(block[some]), self._texts.pad_id)

                parts.append(self._scorer.embed_all(shards.lengths[block], BATCH_ROWS, tokens).cpu())
                bar.update(len(block))
        return self._documents(parts, terms, keys)

    @torch.no_grad()
    def _documents(
        self, embeddings: Sequence[Tensor], terms: Terms | None, keys: tuple[bytes, ...]
    ) -> Documents:
        embedding_nE = torch.cat([*embeddings]).float() if embeddings else torch.empty(0, self._width)
        device, head = self._scorer.device, self._model.head
        features_nW = head.project(self._model.features(embedding_nE.to(device))).float().cpu()
        shape = (len(keys), 0 if self._vocabulary is None else len(self._vocabulary))
        words = sparse.csr_matrix(shape, dtype=np.float32)
        if self._vocabulary is not None and terms is not None:
            found = self._vocabulary.weigh(terms)
            words = sparse.csr_matrix((found.values, (found.rows, found.ids)), shape)
        return Documents(embedding_nE, features_nW, words, keys)
