"""The [train] table of a recipe.

Settings of the paper: Ullah et al. 2024, Tables 8 and 9. Imports nothing heavy.
"""

from dataclasses import dataclass, field
from typing import Literal

from xmcpipe.config import require_at_least, runtime
from xmcpipe.ops.loss_names import LossName

OptimizerKind = Literal["adamw", "adam", "sgd"]


@dataclass(frozen=True)
class EncoderConfig:
    """[train.encoder]: `name` "" is the encoder that the shards were tokenized for."""

    name: str = ""
    pooling: Literal["cls", "mean"] = "cls"
    dropout: float = 0.5
    checkpointing: bool = False  # activations are computed again for backward, not kept
    optimizer: OptimizerKind = "adamw"
    lr: float = 1e-5
    weight_decay: float = 0.01
    momentum: float = 0.9
    max_grad_norm: float = 0.0  # 0: not clipped

    def __post_init__(self) -> None:
        require_at_least(self, 0, "lr", "weight_decay", "momentum", "max_grad_norm")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout = {self.dropout} was given, 0 <= dropout < 1 is wanted")


@dataclass(frozen=True)
class HeadConfig:
    """[train.head]: the output layer.

    `fan_in` is K; `intermediate` the width of the layer before it, 0 for none.
    """

    kind: Literal["ffi", "dense", "bottleneck"] = "ffi"  # bottleneck: as many parameters as ffi
    fan_in: int = 128
    bias: bool = False
    bias_init: Literal["zero", "prior"] = "zero"  # prior: the constant score that is best for each label
    init_std: float = 0.0  # of the normal weights; 0: 1 / sqrt(features a label reads)
    intermediate: int = 0
    intermediate_lr: float = 2.01e-4
    optimizer: OptimizerKind = "adamw"
    lr: float = 0.01
    weight_decay: float = 1e-4
    momentum: float = 0.9  # of sgd; 0: none is kept

    def __post_init__(self) -> None:
        require_at_least(self, 1, "fan_in")
        require_at_least(
            self, 0, "init_std", "intermediate", "intermediate_lr", "lr", "weight_decay", "momentum"
        )


@dataclass(frozen=True)
class RewireConfig:
    """[train.rewire]: SET.

    `interval` in optimizer steps, 0 for a fixed topology; `until` is a share of all steps.
    """

    mode: Literal["fraction", "threshold"] = "fraction"
    interval: int = 1000
    until: float = 0.66
    fraction: float = 0.25  # of all connections, the smallest of the whole layer
    threshold: float = 0.01  # all smaller weights go; it falls by a cosine …
    final_threshold: float = 1e-4  # … to this at the last rewiring

    def __post_init__(self) -> None:
        require_at_least(self, 0, "interval", "until", "fraction", "threshold", "final_threshold")
        for name in ("until", "fraction"):
            if getattr(self, name) > 1.0:
                raise ValueError(f"{name} = {getattr(self, name)} was given, at most 1 is wanted")


@dataclass(frozen=True)
class AuxiliaryConfig:
    """[train.auxiliary]: the loss over clusters of labels; `weight` 0 turns it off."""

    weight: float = 0.0  # s in (1 - s) * main + s * auxiliary; it falls by a cosine …
    cutoff_epoch: float = 15.0  # … to 0 here, where the branch is dropped
    lr: float = 5.01e-4

    def __post_init__(self) -> None:
        require_at_least(self, 0, "lr")
        if self.cutoff_epoch <= 0.0:
            raise ValueError(f"cutoff_epoch = {self.cutoff_epoch} was given, more than 0 is wanted")
        if not 0.0 <= self.weight < 1.0:
            raise ValueError(f"weight = {self.weight} was given, 0 <= weight < 1 is wanted")


@dataclass(frozen=True)
class TrainConfig:
    """The table [train]."""

    seed: int = 0
    epochs: int = 10
    max_steps: int = 0  # optimizer steps after which training ends, schedules and all; 0: after all epochs
    label_features: bool = False  # label texts are training documents too, each labelled by itself
    batch_size: int = 64
    accumulation: int = 1  # batches an optimizer step; the loss is that of one large batch
    memory: Literal["paper", "light"] = "paper"  # light: 16-bit weights, no gradients kept (training.light)
    loss: LossName = "squared_hinge"  # over all labels; the hinge is a mean over B x L
    bce_reduction: Literal["mean", "sum"] = "mean"  # over the rows; over the labels BCE is a sum
    warmup_steps: int = 1000  # linear, then a cosine to 0
    # Of the arithmetic (autocast; float16 with a loss scale), and with memory = "light" of the weights too.
    precision: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    label_chunk: int = 32768  # bounds the scores in memory: [batch_size, label_chunk] float32
    validation: float = 0.05  # share of the training documents set aside …
    validation_max: int = 5000  # … but no more than these
    evaluate_every: int = 1  # epochs between evaluations on the validation split
    best_by: Literal["P@1", "P@3", "P@5"] = "P@1"  # what the kept model is the best in
    patience: int = 0  # evaluations without a gain before training stops; 0: never
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    rewire: RewireConfig = field(default_factory=RewireConfig)
    auxiliary: AuxiliaryConfig = field(default_factory=AuxiliaryConfig)
    device: str = runtime("auto")  # auto, cpu, cuda, cuda:1
    checkpoint_minutes: float = runtime(10.0)
    log_every: int = runtime(50)  # optimizer steps
    gradients_every: int = runtime(500)  # steps between norms of the encoder's gradients; 0: never

    def __post_init__(self) -> None:
        ones = ("epochs", "batch_size", "accumulation", "label_chunk", "evaluate_every", "log_every")
        require_at_least(self, 1, *ones)
        zeros = ("seed", "max_steps", "warmup_steps", "validation_max", "patience")
        require_at_least(self, 0, *zeros, "checkpoint_minutes", "gradients_every")
        if self.patience and not (self.validation and self.validation_max):
            raise ValueError("patience needs a validation split: set validation above 0, or patience = 0")
        if not 0.0 <= self.validation < 1.0:
            raise ValueError(f"validation = {self.validation} was given, 0 <= validation < 1 is wanted")
        if self.memory == "light":
            _require_light(self)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits of the shards that are trained on."""
        return ("train", "label") if self.label_features else ("train",)


def _require_light(config: TrainConfig) -> None:
    """Raise ValueError for what can't be where a weight is updated as soon as its gradient is there."""
    head, encoder = config.head, config.encoder
    wanted: list[tuple[str, object, tuple[object, ...]]] = [
        ("head.kind", head.kind, ("ffi",)),
        ("head.optimizer", head.optimizer, ("sgd",)),
        ("encoder.optimizer", encoder.optimizer, ("adamw",)),
        ("encoder.max_grad_norm", encoder.max_grad_norm, (0.0,)),  # known once all gradients are
        ("accumulation", config.accumulation, (1,)),
        ("precision", config.precision, ("bfloat16", "float32")),  # no loss scale for a step that is done
    ]
    for name, given, allowed in wanted:
        if given not in allowed:
            choices = " or ".join(map(repr, allowed))
            raise ValueError(
                f"{name} = {given!r} was given, memory = 'light' wants {choices}: set it, or memory = 'paper'"
            )
