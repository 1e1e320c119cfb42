"""Embeds documents with the encoder for which they were tokenized.

Legend: R documents · E width of the embedding · B documents of a batch · S tokens of the longest of them.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xmcpipe.clustering.partition import Float32s, Int32s
from xmcpipe.modeling.encoder import Pooling, load

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Embedding:
    """Maps documents to embeddings, float32 [R, E], with a frozen encoder.

    Documents of more than `piece_length` tokens are in pieces of that length; 0 for whole documents.
    """

    model: "torch.nn.Module"
    dim: int
    pooling: Pooling
    batch_size: int
    device: "torch.device"
    piece_length: int = 0

    @staticmethod
    def of(
        encoder: str, pooling: Pooling, batch_size: int, device: str, piece_length: int = 0
    ) -> "Embedding":
        """Load the encoder named `encoder` onto `device`. Raises XmcpipeError if either doesn't exist."""
        from xmcpipe.modeling.devices import pick_device

        place = pick_device(device)
        model = load(encoder).eval().to(place)
        return Embedding(model, int(model.config.hidden_size), pooling, batch_size, place, piece_length)

    def __call__(self, tokens: Int32s, lengths: Int32s) -> Float32s:
        """The embeddings of R documents, from their concatenated token ids and their numbers of tokens."""
        starts = np.cumsum(lengths, dtype=np.int64) - lengths
        vectors_RE = np.empty((len(lengths), self.dim), np.float32)
        by_length = np.argsort(lengths, kind="stable")  # batches of similar lengths have little padding
        for first in range(0, len(by_length), self.batch_size):
            rows = by_length[first : first + self.batch_size]
            mask_BS = np.arange(max(1, int(lengths[rows].max()))) < lengths[rows, None]
            input_ids_BS = np.zeros(mask_BS.shape, np.int64)  # padding is masked, so its id doesn't matter
            input_ids_BS[mask_BS] = tokens[(starts[rows, None] + np.arange(mask_BS.shape[1]))[mask_BS]]
            vectors_RE[rows] = self._embed(input_ids_BS, mask_BS.astype(np.int64))
        return vectors_RE

    def _embed(
        self, input_ids_BS: "np.typing.NDArray[np.int64]", mask_BS: "np.typing.NDArray[np.int64]"
    ) -> Float32s:
        import torch

        from xmcpipe.modeling.pieces import embed_documents

        with torch.inference_mode():
            input_ids = torch.from_numpy(input_ids_BS).to(self.device)
            mask = torch.from_numpy(mask_BS).to(self.device)
            embedding_BE = embed_documents(self.model, input_ids, mask, self.pooling, self.piece_length)
            return np.asarray(embedding_BE.cpu().numpy())
