"""The [train] table of a recipe; the string under each field documents the key.

The paper's settings are in Ullah et al. 2024 (arXiv 2411.03171), Tables 8 and 9. This module imports nothing
heavy.
"""

from dataclasses import dataclass, field
from typing import Literal

from xmcpipe.config import later, require_at_least, runtime
from xmcpipe.modeling.head_table import HEADS
from xmcpipe.ops.losses.loss_table import require_loss
from xmcpipe.training.head_config import (
    HeadConfig,
    OptimizerKind,
    RewireConfig,
    require_growth,
    require_informed,
    require_rewiring,
)


@dataclass(frozen=True)
class EncoderConfig:
    """[train.encoder]: the text encoder and its optimizer."""

    name: str = ""
    """Encoder to train: a hub id, a folder or package:NAME; "" is the encoder of the tokenized shards."""

    frozen: bool = later(False)
    """Train the output layer only, on the embeddings of an [embed] table, which must name the same encoder
    and pooling. The encoder does not run and its weights do not change."""

    pooling: Literal["cls", "mean"] = "cls"
    """How token states become an embedding: the first token's state (cls), or the mean of all (mean)."""

    dropout: float = 0.5
    """Dropout probability of the embedding, from 0 to less than 1."""

    checkpointing: bool = False
    """Recompute the encoder's activations in backward instead of storing them: slower, with less memory."""

    optimizer: OptimizerKind = "adamw"
    """Optimizer of the encoder: adamw, adam or sgd."""

    lr: float = 1e-5
    """Peak learning rate of the encoder, reached at the end of the warm-up."""

    weight_decay: float = 0.01
    """Weight decay of the encoder; biases and norms are not decayed."""

    momentum: float = 0.9
    """Momentum of the encoder under sgd."""

    max_grad_norm: float = 0.0
    """Norm to which the encoder's gradient is clipped before each step; 0 turns clipping off."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, "lr", "weight_decay", "momentum", "max_grad_norm")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"expected 0 <= dropout < 1, got dropout = {self.dropout}")


@dataclass(frozen=True)
class AuxiliaryConfig:
    """[train.auxiliary]: the loss over clusters of labels, which helps the encoder early in training."""

    weight: float = 0.0
    """Initial weight s of the auxiliary loss in (1 - s) * main + s * auxiliary; it decreases along a cosine
    to 0 at cutoff_epoch. 0 trains without the auxiliary branch."""

    cutoff_epoch: float = 15.0
    """Epoch at which the weight reaches 0 and the auxiliary branch is dropped."""

    lr: float = 5.01e-4
    """Peak learning rate of the auxiliary branch."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, "lr")
        if self.cutoff_epoch <= 0.0:
            raise ValueError(f"expected cutoff_epoch > 0, got cutoff_epoch = {self.cutoff_epoch}")
        if not 0.0 <= self.weight < 1.0:
            raise ValueError(f"expected 0 <= weight < 1, got weight = {self.weight}")


@dataclass(frozen=True)
class TrainConfig:
    """[train]: how a model is trained."""

    seed: int = 0
    """Seed of all random numbers of the training."""

    epochs: int = 10
    """Number of passes over the training documents."""

    max_steps: int = 0
    """Number of optimizer steps after which training ends, and all schedules with it; 0 means all epochs."""

    label_features: bool = False
    """Train on the label texts too, as documents that have only their own label."""

    batch_size: int = 64
    """Number of documents in a batch."""

    accumulation: int = 1
    """Number of batches per optimizer step; the loss is that of one large batch."""

    memory: Literal["paper", "light"] = "paper"
    """What is in memory: float32 weights with gradients and optimizer moments (paper), or weights in the
    type of `precision` and no gradient of the output layer (light)."""

    loss: str = "squared_hinge"
    """Loss over all labels, such as squared_hinge, a mean over documents and labels, or bce (binary
    cross-entropy), a sum over labels."""

    bce_reduction: Literal["mean", "sum"] = "mean"
    """Reduction of the bce loss over the documents of a step: mean or sum."""

    warmup_steps: int = 1000
    """Number of optimizer steps in which learning rates rise linearly; then they fall along a cosine to 0."""

    precision: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    """Precision of the arithmetic (autocast; float16 uses a loss scaler), and with memory = "light" also of
    the weights."""

    label_chunk: int = 32768
    """Number of labels that are scored at a time; it limits the scores in memory to batch_size x label_chunk
    float32 values."""

    validation: float = 0.05
    """Fraction of the training documents that is set aside for validation."""

    validation_max: int = 5000
    """Largest number of documents that is set aside for validation."""

    evaluate_every: int = 1
    """Number of epochs between evaluations on the validation split."""

    best_by: Literal["P@1", "P@3", "P@5"] = "P@1"
    """Metric on the validation split by which the best model is chosen."""

    patience: int = 0
    """Number of evaluations without a gain after which training stops; 0 never stops early."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """Table of the text encoder."""

    head: HeadConfig = field(default_factory=HeadConfig)
    """Table of the output layer."""

    rewire: RewireConfig = field(default_factory=RewireConfig)
    """Table of the rewiring."""

    auxiliary: AuxiliaryConfig = field(default_factory=AuxiliaryConfig)
    """Table of the auxiliary loss."""

    device: str = runtime("auto")
    """Device to train on, such as cpu, cuda or cuda:1; auto uses a GPU if there is one."""

    checkpoint_minutes: float = runtime(10.0)
    """Minutes between checkpoints within an epoch; each epoch ends with a checkpoint."""

    log_every: int = runtime(50)
    """Number of optimizer steps between lines in the training log."""

    gradients_every: int = runtime(500)
    """Number of optimizer steps between measurements of the encoder's gradient norms; 0 turns them off."""

    def __post_init__(self) -> None:
        ones = ("epochs", "batch_size", "accumulation", "label_chunk", "evaluate_every", "log_every")
        require_at_least(self, 1, *ones)
        zeros = ("seed", "max_steps", "warmup_steps", "validation_max", "patience")
        require_at_least(self, 0, *zeros, "checkpoint_minutes", "gradients_every")
        if self.patience and not (self.validation and self.validation_max):
            raise ValueError(
                f"expected validation > 0 and validation_max > 0 with patience = {self.patience}, got "
                f"validation = {self.validation} and validation_max = {self.validation_max}"
            )
        if not 0.0 <= self.validation < 1.0:
            raise ValueError(f"expected 0 <= validation < 1, got validation = {self.validation}")
        if self.encoder.frozen and self.auxiliary.weight:
            raise ValueError(
                "expected auxiliary.weight = 0 with encoder.frozen = true, because the auxiliary loss "
                f"trains the encoder alone, got {self.auxiliary.weight}"
            )
        if self.head.topology == "informed":
            require_informed(self.head)
        require_rewiring(self.rewire, self.head)
        if self.head.word_fan_in and self.accumulation > 1:
            raise ValueError(
                "expected accumulation = 1 with head.word_fan_in > 0, because words are updated after each "
                f"batch, got {self.accumulation}"
            )
        if self.rewire.growth != "random":
            require_growth(self.head, self.rewire.growth, self.encoder.frozen)
        require_loss(self.loss)
        if self.memory == "light":
            _require_light(self)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits of the shards that are trained on."""
        return ("train", "label") if self.label_features else ("train",)


def _require_light(config: TrainConfig) -> None:
    """Raise ValueError for settings that memory = "light" does not support."""
    head, encoder = config.head, config.encoder
    in_place = tuple(name for name, kind in HEADS.items() if kind.updates_in_place)
    settings: list[tuple[str, object, tuple[object, ...]]] = [
        ("head.kind", head.kind, in_place),
        ("head.optimizer", head.optimizer, ("sgd",)),
        ("encoder.optimizer", encoder.optimizer, ("adamw",)),
        # Clipping needs all gradients at once, but each one is freed as soon as it is used.
        ("encoder.max_grad_norm", encoder.max_grad_norm, (0.0,)),
        ("accumulation", config.accumulation, (1,)),
        ("precision", config.precision, ("bfloat16", "float32")),  # a loss scaler would have to undo updates
    ]
    for name, value, allowed in settings:
        if value not in allowed:
            choices = " or ".join(map(repr, allowed))
            raise ValueError(
                f"expected {name} = {choices} with memory = 'light', got {name} = {value!r}: "
                "change it, or set memory = 'paper'"
            )
