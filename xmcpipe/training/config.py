"""The [train] table of a recipe.

Settings of the paper: Ullah et al. 2024, Tables 8 and 9. Imports nothing heavy.
"""

from dataclasses import dataclass, field
from typing import Literal

from xmcpipe.config import runtime

OptimizerKind = Literal["adamw", "adam", "sgd"]


@dataclass(frozen=True)
class EncoderConfig:
    """[train.encoder]: `name` "" is the encoder that the shards were tokenized for."""

    name: str = ""
    pooling: Literal["cls", "mean"] = "cls"
    dropout: float = 0.5
    checkpointing: bool = False
    optimizer: OptimizerKind = "adamw"
    lr: float = 1e-5
    weight_decay: float = 0.01
    momentum: float = 0.9
    max_grad_norm: float = 0.0  # 0: not clipped

    def __post_init__(self) -> None:
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout = {self.dropout} was given, 0 <= dropout < 1 is wanted")


@dataclass(frozen=True)
class HeadConfig:
    """[train.head]: the output layer.

    `fan_in` is K; `intermediate` the width of the layer before it, 0 for none.
    """

    kind: Literal["ffi", "dense", "bottleneck"] = "ffi"
    fan_in: int = 128
    bias: bool = False
    bias_init: Literal["zero", "prior"] = "zero"
    init_std: float = 0.0  # 0: 1 / sqrt(features a label reads)
    intermediate: int = 0
    intermediate_lr: float = 2.01e-4
    optimizer: OptimizerKind = "adamw"
    lr: float = 0.01
    weight_decay: float = 1e-4
    momentum: float = 0.9

    def __post_init__(self) -> None:
        if self.fan_in < 1:
            raise ValueError(f"fan_in = {self.fan_in} was given, at least 1 is wanted")


@dataclass(frozen=True)
class RewireConfig:
    """[train.rewire]: SET.

    `interval` in optimizer steps, 0 for a fixed topology; `until` is a share of all steps.
    """

    mode: Literal["fraction", "threshold"] = "fraction"
    interval: int = 1000
    until: float = 0.66
    fraction: float = 0.25
    threshold: float = 0.01
    final_threshold: float = 1e-4

    def __post_init__(self) -> None:
        if not 0.0 <= self.fraction <= 1.0 or not 0.0 <= self.until <= 1.0 or self.interval < 0:
            raise ValueError("0 <= fraction <= 1, 0 <= until <= 1 and interval >= 0 are wanted")


@dataclass(frozen=True)
class AuxiliaryConfig:
    """[train.auxiliary]: the loss over clusters of labels; `weight` 0 turns it off."""

    weight: float = 0.0
    cutoff_epoch: float = 15.0
    lr: float = 5.01e-4

    def __post_init__(self) -> None:
        if not 0.0 <= self.weight < 1.0:
            raise ValueError(f"weight = {self.weight} was given, 0 <= weight < 1 is wanted")


@dataclass(frozen=True)
class TrainConfig:
    """[train].

    `max_steps` 0 is all epochs; `patience` 0 is no early stopping, else evaluations without a gain.
    `validation` is the share of training documents set aside, at most `validation_max` of them;
    `evaluate_every` is in     epochs. `label_chunk` bounds the scores in memory: [batch, label_chunk]
    float32.
    """

    seed: int = 0
    epochs: int = 10
    max_steps: int = 0
    batch_size: int = 64
    accumulation: int = 1
    loss: Literal["squared_hinge", "bce"] = "squared_hinge"
    bce_reduction: Literal["mean", "sum"] = "mean"
    warmup_steps: int = 1000
    precision: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    label_chunk: int = 32768
    validation: float = 0.05
    validation_max: int = 5000
    evaluate_every: int = 1
    best_by: Literal["P@1", "P@3", "P@5"] = "P@1"
    patience: int = 0
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    rewire: RewireConfig = field(default_factory=RewireConfig)
    auxiliary: AuxiliaryConfig = field(default_factory=AuxiliaryConfig)
    device: str = runtime("auto")
    checkpoint_minutes: float = runtime(10.0)
    log_every: int = runtime(50)

    def __post_init__(self) -> None:
        for key in ("epochs", "batch_size", "accumulation", "label_chunk", "evaluate_every"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key} = {getattr(self, key)} was given, at least 1 is wanted")
        if not 0.0 <= self.validation < 1.0:
            raise ValueError(f"validation = {self.validation} was given, 0 <= validation < 1 is wanted")
