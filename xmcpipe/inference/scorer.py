"""A loaded model that finds the k best labels of a batch of token ids.

B rows, S tokens, E width of the embedding, D features that the head reads, K number of labels to find.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from xmcpipe.data.shards.batches import HostBatch, token_batches
from xmcpipe.data.terms import Terms, terms_of
from xmcpipe.data.word_vocabulary import WordVocabulary
from xmcpipe.errors import XmcpipeError
from xmcpipe.inference.best_piece import best_of_pieces, distinct_pieces, same_number_of_pieces
from xmcpipe.modeling.devices import autocast_dtype
from xmcpipe.modeling.model import Model
from xmcpipe.modeling.topk import top_labels_of

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Best = tuple[Int32s, npt.NDArray[np.float32]]
# A batch of more tokens leaves the caches of a core: 8,192 took 1.4 times as long a token (Zen 5, float32).
CPU_BATCH_TOKENS = 1024


class Scorer:
    """Finds the best labels of batches; at most [B, label_chunk] scores exist at a time."""

    def __init__(self, model: Model, device: torch.device, precision: str, label_chunk: int) -> None:
        self.model, self.device, self.label_chunk = model.to(device).eval(), device, label_chunk
        self.autocast = autocast_dtype(precision, device.type)
        self._vocabulary = None if model.words is None else WordVocabulary(*model.words.arrays())
        if self.autocast is not None:
            _round_linear_weights(model.encoder, self.autocast)
        # One batch a thread: torch's own threads wait for each other after every operation, which takes many
        # times as long where other programs run on the same cores. A thread's results don't depend on others.
        self._threads: ThreadPoolExecutor | None = None
        if device.type == "cpu":
            self._threads = ThreadPoolExecutor(torch.get_num_threads(), "embed", torch.set_num_threads, (1,))

    def top(self, batch: HostBatch, k: int, added_L: Tensor | None = None) -> Best:
        """Labels int32 [B, k] and scores float32 [B, k], ordered by (-score, label id); k is at most L.

        `added_L` is as in `best`.
        """
        return self.best(self.embed_to_score(batch.input_ids, batch.mask), batch.terms, k, added_L)

    @torch.inference_mode()
    def embed(self, input_ids: Int64s, mask: Int64s) -> Tensor:
        """The embeddings of `input_ids` and `mask`, int64 [B, S]: float32 [B, E]."""
        input_ids_BS, mask_BS = (torch.from_numpy(each).to(self.device) for each in (input_ids, mask))
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
            return self.model.embed(input_ids_BS, mask_BS)

    @torch.inference_mode()
    def embed_to_score(self, input_ids: Int64s, mask: Int64s) -> Tensor:
        """What `best` reads: embeddings as from `embed`, or [B, M, E] if pieces are scored one by one."""
        if not self.model.scores_pieces:
            return self.embed(input_ids, mask)
        input_ids_BS, mask_BS = (torch.from_numpy(each).to(self.device) for each in (input_ids, mask))
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
            return self.model.embed_pieces(input_ids_BS, mask_BS)

    @torch.inference_mode()
    def embed_all(
        self,
        lengths: Int32s,
        batch_size: int,
        tokens: Callable[[Int64s], tuple[Int64s, Int64s]],
        to_score: bool = False,
    ) -> Tensor:
        """The embeddings of any number of rows, float32 [B, E], or with `to_score` as from `embed_to_score`.

        `lengths` int32 [B] are their numbers of tokens; `tokens(rows)` returns `input_ids` and `mask`. Rows
        are embedded in order of their length, so there is little padding; at most `batch_size` at a time.
        """
        on_cpu = self._threads is not None
        batches = token_batches(lengths, batch_size, CPU_BATCH_TOKENS if on_cpu else 1 << 62)

        embed = self.embed_to_score if to_score else self.embed

        def embedded(rows: Int64s) -> Tensor:
            return embed(*tokens(rows))

        parts = list((self._threads.map if self._threads is not None else map)(embedded, batches))
        return _in_order(parts if parts[0].ndim == 2 else same_number_of_pieces(parts), batches)

    @torch.inference_mode()
    def best(self, embedding_BE: Tensor, terms: Terms | None, k: int, added_L: Tensor | None = None) -> Best:
        """Labels and scores as from `top`; `terms` are those of the rows, for a model that reads words.

        The embeddings are those from `embed_to_score`: [B, M, E] are scored piece by piece.

        `added_L` float32 [L] is added to the scores: -inf leaves a label out. Raises XmcpipeError for a score
        that is not a number.
        """
        if embedding_BE.ndim == 3:
            return self._best_of_pieces(embedding_BE, terms, k, added_L)
        # The features stay in float32: in 16 bits, scores close to each other would become equal.
        features_BD = self.model.features(embedding_BE)
        words = None
        if self.model.words is not None and self._vocabulary is not None:
            assert terms is not None, "the caller has checked that the documents have terms"
            words = self.model.words.batch(*self._vocabulary.weigh(terms), len(embedding_BE))
        labels_BK, scores_BK = top_labels_of(self.model, features_BD, k, self.label_chunk, words, added_L)
        scores = scores_BK.cpu().numpy()
        # Infinite or no number: a rank and a probability would mean nothing, and JSON has neither.
        if not np.isfinite(scores).all() and (added_L is None or not (scores < np.inf).all()):
            raise XmcpipeError(
                "expected scores that are finite, got some that are not: the training diverged, or scores "
                "exceed the precision",
                "predict with precision = 'float32'; if it is the same, train again with lower rates",
            )
        return labels_BK.int().cpu().numpy(), scores

    def _best_of_pieces(
        self, embedding_BME: Tensor, terms: Terms | None, k: int, added_L: Tensor | None
    ) -> Best:
        """`best` of documents in pieces. Each piece has the words of its document."""
        embedding_PE, documents_P = distinct_pieces(embedding_BME)
        documents = documents_P.cpu().numpy()
        terms = None if terms is None else terms_of(terms, documents)
        labels_PK, scores_PK = self.best(embedding_PE, terms, k, added_L)
        return best_of_pieces(labels_PK, scores_PK, documents, len(embedding_BME))


def _in_order(parts: Sequence[Tensor], batches: Sequence[Int64s]) -> Tensor:
    """The rows of all batches in their own order."""
    rows = torch.from_numpy(np.concatenate(batches))
    joined = torch.cat(list(parts))
    ordered = torch.empty_like(joined)
    ordered[rows.to(joined.device)] = joined
    return ordered


def _round_linear_weights(encoder: nn.Module, dtype: torch.dtype) -> None:
    """Autocast rounds the weights of linear layers for each batch; once is enough, and gives the same."""
    for module in encoder.modules():
        if isinstance(module, nn.Linear):
            module.to(dtype)
