"""The whole model: encoder, pooling, dropout, optional intermediate layer, head, and auxiliary branch.

Every model is built by `build_model`: for a new training, for loading a saved model, and on the device "meta"
for planning the memory of a training.

B rows, S tokens, E width of the pooled embedding, D features that the head reads, C clusters, P pairs.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xmcpipe.modeling import heads
from xmcpipe.modeling.encoder import PieceScores, Pooling, recompute_activations
from xmcpipe.modeling.frequent import FrequentLabels
from xmcpipe.modeling.heads import DTYPES, Head, HeadShape
from xmcpipe.modeling.pieces import embed_documents, embed_pieces
from xmcpipe.modeling.words import WordKind, WordSource


class Auxiliary(nn.Linear):
    """A dense layer that scores clusters of labels from the embedding; the head doesn't read its scores."""

    def loss(self, embedding_BE: Tensor, rows_P: Tensor, clusters_P: Tensor) -> Tensor:
        """BCE against the set of each row's clusters, the mean over B x C: a float32 scalar.

        The pairs (row, cluster) may repeat.
        """
        scores_BC = self(embedding_BE.to(self.weight.dtype)).float()
        target_BC = torch.zeros_like(scores_BC)
        target_BC[rows_P, clusters_P] = 1.0
        return F.binary_cross_entropy_with_logits(scores_BC, target_BC)


class Model(nn.Module):
    """From token ids to the features that `head` reads, and the head.

    `auxiliary` is None in a model without the auxiliary branch, and after the branch was dropped. `words` is
    None unless the head reads words, and `frequent` unless the most frequent labels have a head of their own.
    `piece_length`: the encoder reads longer documents in pieces of so many tokens; 0 for whole documents.
    `pieces`: in predictions these have the scores of the mean embedding, or of the best piece ("max").
    """

    def __init__(
        self, encoder: Any, pooling: Pooling, dropout: float, intermediate: int, head: Head, num_clusters: int
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        width = embedding_size(encoder)
        self.intermediate = nn.Linear(width, intermediate) if intermediate else None
        self.head = head
        self.auxiliary = Auxiliary(width, num_clusters) if num_clusters else None
        self.words: WordSource | None = None
        self.frequent: FrequentLabels | None = None
        self.piece_length = 0
        self.pieces: PieceScores = "mean"

    @property
    def scores_pieces(self) -> bool:
        """Whether the pieces of a document are scored one by one in predictions."""
        return self.pieces == "max" and self.piece_length > 0

    @property
    def heads(self) -> list[Head]:
        """The head of all labels, and that of the frequent labels if there is one."""
        return [self.head] if self.frequent is None else [self.head, self.frequent.head]

    def embed(self, input_ids_BS: Tensor, mask_BS: Tensor) -> Tensor:
        """The pooled embedding, float32 [B, E], before dropout."""
        return embed_documents(self.encoder, input_ids_BS, mask_BS, self.pooling, self.piece_length)

    def embed_pieces(self, input_ids_BS: Tensor, mask_BS: Tensor) -> Tensor:
        """As `embed`, of each piece, float32 [B, M, E]; fewer pieces are followed by the first one again."""
        return embed_pieces(self.encoder, input_ids_BS, mask_BS, self.pooling, self.piece_length)

    def features(self, embedding_BE: Tensor) -> Tensor:
        """The features that the head reads, [B, D]: the embedding, or ReLU of the intermediate layer."""
        if self.intermediate is None:
            return embedding_BE
        return F.relu(self.intermediate(embedding_BE.to(self.intermediate.weight.dtype)))


@dataclass(frozen=True)
class ModelShape:
    """Everything that determines how a model is built, except the encoder.

    `intermediate` is the width of the intermediate layer, 0 for none; `num_clusters` is C, 0 for no auxiliary
    branch. `dtype`, a key of heads.DTYPES, is that of all weights except the head's, which has its own.
    `checkpointing`: backward recomputes the encoder's activations. `frozen`: the encoder stays as it is, in
    float32 and without gradients. `word_kind` and `num_words` describe the words that the head reads, if any;
    `frequent` the head of the most frequent labels. `piece_length` and `pieces` are as in `Model`.
    """

    head: HeadShape
    pooling: Pooling
    intermediate: int = 0
    num_clusters: int = 0
    dropout: float = 0.0
    dtype: str = "float32"
    checkpointing: bool = False
    frozen: bool = False
    word_kind: WordKind = "pairs"
    num_words: int = 0
    frequent: HeadShape | None = None
    piece_length: int = 0
    pieces: PieceScores = "mean"


def build_model(
    encoder: Any, shape: ModelShape, device: torch.device | str = "cpu", draw: bool = False
) -> Model:
    """The model of `shape` around `encoder`, on `device`.

    With `draw` the head's weights are drawn from its seed. Without it they are uninitialised, and must be
    read from a file (except on "meta"). Torch's generator draws the other layers in both cases. Raises
    XmcpipeError for K > D.
    """
    if shape.checkpointing:
        recompute_activations(encoder)
    head = heads.build(shape.head, device)
    if draw:
        head.reset_parameters()
    model = Model(encoder, shape.pooling, shape.dropout, shape.intermediate, head, shape.num_clusters)
    model.piece_length, model.pieces = shape.piece_length, shape.pieces
    if shape.head.word_fan_in:
        model.words = WordSource(shape.word_kind, shape.num_words)
    if shape.frequent is not None:
        model.frequent = FrequentLabels(shape.frequent, device)
        if draw:
            model.frequent.head.reset_parameters()
    if shape.frozen:
        model.encoder.requires_grad_(False)
    trained = (None if shape.frozen else model.encoder, model.intermediate, model.auxiliary)
    for part in trained:  # not the head: its bias is float32
        if part is not None:
            part.to(DTYPES[shape.dtype])
    return model.to(device)


def embedding_size(encoder: Any) -> int:
    """E, the width of the encoder's last hidden state."""
    return int(encoder.config.hidden_size)
