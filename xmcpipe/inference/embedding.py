"""The embeddings of the documents of shards, by an encoder that is not trained.

Documents are encoded in blocks of consecutive rows. Within a block they are batched by length, which leaves
little padding; after a block its rows are on disk, so that a killed run loses one block at most.

B rows of a batch, S tokens, E width of the embedding.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from xmcpipe.data.embeddings import Embeddings, EmbeddingWriter
from xmcpipe.data.shards.batches import HostBatch, collate, length_order
from xmcpipe.data.shards.files import Shards
from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling.devices import autocast_dtype
from xmcpipe.modeling.encoder import Pooling
from xmcpipe.modeling.pieces import embed_documents

BLOCK_ROWS = 4096


class Embedder:
    """Embeds batches with `encoder` on `device`, in the precision "float32", "bfloat16" or "float16".

    Documents of more than `piece_length` tokens are in pieces of that length; 0 for whole documents.
    """

    def __init__(
        self,
        encoder: Any,
        pooling: Pooling,
        device: torch.device,
        precision: str,
        piece_length: int = 0,
    ) -> None:
        self.encoder, self.pooling, self.device = encoder.to(device).eval(), pooling, device
        self.piece_length = piece_length
        self.autocast = autocast_dtype(precision, device.type)

    @torch.inference_mode()
    def embed(self, batch: HostBatch) -> Embeddings:
        """The pooled embeddings of a batch, float16 [B, E]."""
        input_ids_BS = torch.from_numpy(batch.input_ids).to(self.device)
        mask_BS = torch.from_numpy(batch.mask).to(self.device)
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
            embedding_BE = embed_documents(
                self.encoder, input_ids_BS, mask_BS, self.pooling, self.piece_length
            )
        values: Embeddings = embedding_BE.half().cpu().numpy()
        return values


def embed_rows(
    embedder: Embedder,
    shards: Shards,
    writer: EmbeddingWriter,
    pad_id: int,
    batch_size: int,
    update: Callable[[int], object],
) -> None:
    """Embed the documents of `shards` that `writer` doesn't have yet; `update` is told how many were done.

    Raises XmcpipeError for an embedding that isn't finite.
    """
    while writer.done < len(shards):
        begin = writer.done
        lengths = shards.lengths[begin : begin + BLOCK_ROWS]
        block: Embeddings | None = None
        for rows in length_order(lengths, batch_size):
            values = embedder.embed(collate(shards, rows + begin, pad_id))
            if block is None:
                block = np.empty((len(lengths), values.shape[1]), np.float16)
            block[rows] = values
            update(len(rows))
        assert block is not None, "a block has a document"
        _require_finite(block, begin)
        writer.write(block)


def _require_finite(block: Embeddings, first: int) -> None:
    """float16 ends at 65,504: what overflows, or was NaN before, would spoil a training without a word."""
    finite = np.isfinite(block).all(1)
    if not finite.all():
        raise XmcpipeError(
            f"expected finite float16 embeddings, got an infinite or undefined value in document "
            f"{first + int(finite.argmin())}",
            "set embed.precision to float32 or bfloat16, or use another encoder",
        )
