"""The recipe table [train.encoder]: the text encoder and its optimizer.

The class EncoderConfig is the table with every value chosen (training.auto). Source: the paper's Tables 8
and 9 (Ullah et al. 2024).
"""

from dataclasses import dataclass, field
from typing import Literal

from xmcpipe.config import AUTO, ENCODER_NAME, Auto, later, require_at_least
from xmcpipe.training.head_config import OptimizerKind


@dataclass(frozen=True)
class EncoderTable:
    """[train.encoder]: the text encoder and its optimizer."""

    name: str = field(default="", metadata=ENCODER_NAME)
    """Encoder to train: a hub id, a folder or package:NAME; "" is the encoder of the tokenized shards."""

    frozen: bool = later(False)
    """Train the output layer only, on the embeddings of an [embed] table, which must name the same encoder
    and pooling. The encoder does not run and its weights do not change."""

    pooling: Literal["cls", "mean"] = "cls"
    """How token states become an embedding: the first token's state (cls), or the mean of all (mean)."""

    pieces: Literal["mean", "max"] = later("mean")
    """What scores a document in several pieces (tokenize.max_pieces) has in predictions: those of its mean
    embedding, or for each label the score of its best piece (max). The training itself reads the mean."""

    dropout: float | Auto = AUTO
    """Dropout probability of the embedding, from 0 to less than 1; "auto" follows the number of epochs."""

    checkpointing: bool = False
    """Recompute the encoder's activations in backward instead of storing them: slower, with less memory."""

    optimizer: OptimizerKind = "adamw"
    """Optimizer of the encoder: adamw, adam or sgd."""

    lr: float | Auto = AUTO
    """Peak learning rate of the encoder, reached at the end of the warm-up; "auto" follows its width."""

    weight_decay: float = 0.01
    """Weight decay of the encoder; biases and norms are not decayed."""

    momentum: float = 0.9
    """Momentum of the encoder under sgd."""

    max_grad_norm: float = 0.0
    """Norm to which the encoder's gradient is clipped before each step; 0 turns clipping off."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, "lr", "weight_decay", "momentum", "max_grad_norm")
        if self.dropout != AUTO and not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"expected 0 <= dropout < 1, got dropout = {self.dropout}")


@dataclass(frozen=True)
class EncoderConfig(EncoderTable):
    """[train.encoder] with every value chosen; the defaults, the paper's, are for code without a recipe."""

    dropout: float = 0.5
    lr: float = 1e-5
