"""The whole model: encoder, pooling, dropout, optional intermediate layer, head, and the auxiliary branch
beside it.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xmcpipe.modeling.encoder import Pooling, pool
from xmcpipe.modeling.heads import Head


class Auxiliary(nn.Linear):
    """A dense layer that scores the clusters of labels from the embedding; main scores never see it."""

    def loss(self, embedding_BD: Tensor, rows_P: Tensor, clusters_P: Tensor) -> Tensor:
        """BCE, mean over B x C, against the set of each row's clusters; pairs may repeat.

        A float32 scalar.
        """
        scores_BC = self(embedding_BD.to(self.weight.dtype)).float()
        target_BC = torch.zeros_like(scores_BC)
        target_BC[rows_P, clusters_P] = 1.0
        return F.binary_cross_entropy_with_logits(scores_BC, target_BC)


class Model(nn.Module):
    """Encoder to features.

    `auxiliary` is None without the branch, and after it was dropped.
    """

    def __init__(
        self, encoder: Any, pooling: Pooling, dropout: float, intermediate: int, head: Head, num_clusters: int
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        hidden = embedding_size(encoder)
        self.intermediate = nn.Linear(hidden, intermediate) if intermediate else None
        self.head = head
        self.auxiliary = Auxiliary(hidden, num_clusters) if num_clusters else None

    def embed(self, input_ids_BS: Tensor, mask_BS: Tensor) -> Tensor:
        """The pooled embedding, float32 [B, D0], before dropout."""
        output = self.encoder(input_ids=input_ids_BS, attention_mask=mask_BS)
        return pool(output.last_hidden_state, mask_BS, self.pooling)

    def features(self, embedding_BD: Tensor) -> Tensor:
        """What the head reads, [B, D]: the embedding, or ReLU of the intermediate layer, in its dtype."""
        if self.intermediate is None:
            return embedding_BD
        return F.relu(self.intermediate(embedding_BD.to(self.intermediate.weight.dtype)))


def embedding_size(encoder: Any) -> int:
    """D0, the width of the encoder's last hidden state."""
    return int(encoder.config.hidden_size)
