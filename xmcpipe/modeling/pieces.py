"""The embedding of documents, of which the longer ones are in several pieces (`xmcpipe.pieces`).

The encoder reads each piece by itself. The embedding is the mean over the tokens of all pieces, or, with
pooling "cls", the mean of the states of their first tokens.

B documents, S tokens of the longest, E width, M pieces of the longest, P pieces of the batch, T tokens
of a piece.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xmcpipe.modeling.encoder import Pooling, pool


def embed_documents(
    encoder: Any, input_ids_BS: Tensor, mask_BS: Tensor, pooling: Pooling, piece_length: int = 0
) -> Tensor:
    """One embedding per document, float32 [B, E], from token ids and mask, int64 [B, S].

    Documents are padded on the right. One with more than `piece_length` tokens is cut after every
    `piece_length` tokens; 0 cuts none.
    """
    rows, length = mask_BS.shape
    if not piece_length or length <= piece_length:
        hidden_BSE = encoder(input_ids=input_ids_BS, attention_mask=mask_BS).last_hidden_state
        return pool(hidden_BSE, mask_BS, pooling)
    most = -(-length // piece_length)  # pieces of the longest document
    ids_PT, mask_PT, places_P = _cut(input_ids_BS, mask_BS, most, piece_length)
    hidden_PTE = encoder(input_ids=ids_PT, attention_mask=mask_PT).last_hidden_state
    if pooling == "cls":
        sums_PE = hidden_PTE[:, 0].float()
        sizes_P = torch.ones_like(places_P)
    else:
        sums_PE = (hidden_PTE.float() * mask_PT.unsqueeze(-1).float()).sum(1)
        sizes_P = mask_PT.sum(1)
    # Each piece has its own place, so that no two are added by atomic operations in any order.
    sums_BE = sums_PE.new_zeros(rows * most, sums_PE.shape[1]).index_copy(0, places_P, sums_PE)
    sizes_B = sizes_P.new_zeros(rows * most).index_copy(0, places_P, sizes_P).view(rows, most).sum(1)
    embedding_BE: Tensor = sums_BE.view(rows, most, -1).sum(1) / sizes_B.clamp(min=1)[:, None].float()
    return embedding_BE


def embed_pieces(
    encoder: Any, input_ids_BS: Tensor, mask_BS: Tensor, pooling: Pooling, piece_length: int = 0
) -> Tensor:
    """An embedding for each piece, float32 [B, M, E]; arguments as those of `embed_documents`.

    A document of fewer pieces has its first one again in the places that are left.
    """
    rows, length = mask_BS.shape
    if not piece_length or length <= piece_length:
        return embed_documents(encoder, input_ids_BS, mask_BS, pooling).unsqueeze(1)
    most = -(-length // piece_length)
    ids_PT, mask_PT, places_P = _cut(input_ids_BS, mask_BS, most, piece_length)
    hidden_PTE = encoder(input_ids=ids_PT, attention_mask=mask_PT).last_hidden_state
    pooled_PE = pool(hidden_PTE, mask_PT, pooling)
    placed_BME = pooled_PE.new_zeros(rows * most, pooled_PE.shape[1]).index_copy(0, places_P, pooled_PE)
    placed_BME = placed_BME.view(rows, most, -1)
    present = torch.zeros(rows * most, dtype=torch.bool, device=mask_BS.device).index_fill(0, places_P, True)
    return torch.where(present.view(rows, most, 1), placed_BME, placed_BME[:, :1])


def _cut(
    input_ids_BS: Tensor, mask_BS: Tensor, most: int, piece_length: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The pieces of all documents, at most `most` of each: ids and mask [P, T], and places in [B x M]."""
    rows, length = mask_BS.shape
    padding = (0, most * piece_length - length)
    ids_PT = F.pad(input_ids_BS, padding).view(-1, piece_length)
    mask_PT = F.pad(mask_BS, padding).view(-1, piece_length)
    # Only pieces with tokens are encoded. The device "meta", which has no values, plans for all of them.
    places_P = torch.arange(rows * most, device=mask_BS.device)
    if not mask_PT.is_meta:
        places_P = places_P[mask_PT[:, 0] > 0]
        ids_PT, mask_PT = ids_PT[places_P], mask_PT[places_P]
    return ids_PT, mask_PT, places_P
