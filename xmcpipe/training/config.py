"""The [train] table of a recipe; the string under each field documents the key.

A recipe is read into a …Table, whose values may be "auto": they are chosen when the data are known (rules and
reasons: training/auto). The …Config of the same name is the table with every value chosen, and all code that
trains reads that one. The paper's settings are in Ullah et al. 2024 (arXiv 2411.03171), Tables 8 and 9. This
module imports nothing heavy.
"""

from dataclasses import dataclass, field
from typing import Literal

from xmcpipe.config import AUTO, Auto, auto_keys, later, model_path, require_at_least, runtime
from xmcpipe.modeling.head_table import HEADS
from xmcpipe.ops.losses.loss_table import require_loss
from xmcpipe.training.encoder_config import EncoderConfig, EncoderTable
from xmcpipe.training.head_config import (
    HeadConfig,
    HeadTable,
    RewireConfig,
    RewireTable,
    require_growth,
    require_rewiring,
)

RULES_VERSION = 3  # of the rules in training/auto: raise it when a rule changes


@dataclass(frozen=True)
class AuxiliaryTable:
    """[train.auxiliary]: the loss over clusters of labels, which helps the encoder early in training."""

    weight: float | Auto = AUTO
    """Initial weight s of the auxiliary loss in (1 - s) * main + s * auxiliary; it decreases along a cosine
    to 0 at cutoff_epoch. 0 trains without the auxiliary branch; "auto" is 0.4 if there are clusters."""

    cutoff_epoch: float | Auto = AUTO
    """Epoch at which the weight reaches 0 and the auxiliary branch is dropped; "auto" is a quarter of the
    training."""

    lr: float = 5.01e-4
    """Peak learning rate of the auxiliary branch."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, "lr")
        if self.cutoff_epoch != AUTO and self.cutoff_epoch <= 0.0:
            raise ValueError(f"expected cutoff_epoch > 0, got cutoff_epoch = {self.cutoff_epoch}")
        if self.weight != AUTO and not 0.0 <= self.weight < 1.0:
            raise ValueError(f"expected 0 <= weight < 1, got weight = {self.weight}")


@dataclass(frozen=True)
class AuxiliaryConfig(AuxiliaryTable):
    """[train.auxiliary] with every value chosen; the defaults are for code without a recipe."""

    weight: float = 0.0
    cutoff_epoch: float = 15.0


@dataclass(frozen=True)
class TrainTable:
    """[train]: how a model is trained."""

    seed: int = 0
    """Seed of all random numbers of the training."""

    epochs: int | Auto = AUTO
    """Number of passes over the training documents; "auto" follows their number and the loss."""

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

    loss: str = AUTO
    """Loss over all labels, such as squared_hinge, a mean over documents and labels, or bce (binary
    cross-entropy), a sum over labels; "auto" is bce."""

    bce_reduction: Literal["mean", "sum"] = "mean"
    """Reduction of the bce loss over the documents of a step: mean or sum."""

    warmup_steps: int | Auto = AUTO
    """Number of optimizer steps in which learning rates rise linearly; then they fall along a cosine to 0.
    "auto" is a share of the training."""

    precision: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    """Precision of the arithmetic (autocast; float16 uses a loss scaler), and with memory = "light" also of
    the weights. A processor without instructions for it computes in float32."""

    label_chunk: int = 32768
    """Number of labels that are scored at a time; it limits the scores in memory to batch_size x label_chunk
    float32 values."""

    validation: float = 0.05
    """Fraction of the training documents that is set aside for validation."""

    validation_max: int = 5000
    """Largest number of documents that is set aside for validation."""

    evaluate_every: int = 1
    """Number of epochs between evaluations on the validation split."""

    best_by: Literal["P@1", "P@3", "P@5", "P", "PSP@1", "PSP@3", "PSP@5", "PSP"] = "P@1"
    """Metric on the validation split by which the best model is chosen; P is the mean of P@1, P@3 and P@5,
    and PSP that of the propensity-scored ones."""

    patience: int = 0
    """Number of evaluations without a gain after which training stops; 0 never stops early."""

    average: Literal["none", "ema"] = later("none")
    """What is evaluated and saved: the weights (none), or their exponential moving average over the steps
    (ema), which is a second copy of them in memory. It needs memory = "paper"."""

    average_decay: float = later(0.99, of="average")
    """Decay of the average in a step, from 0 to less than 1: it reaches back about 1 / (1 - decay) steps."""

    auto_rules: int = later(0)
    """Version of the rules that choose the values "auto". It is set by itself, to 0 if no value is "auto"."""

    encoder: EncoderTable = field(default_factory=EncoderTable)
    """Table of the text encoder."""

    head: HeadTable = field(default_factory=HeadTable)
    """Table of the output layer."""

    rewire: RewireTable = field(default_factory=RewireTable)
    """Table of the rewiring."""

    auxiliary: AuxiliaryTable = field(default_factory=AuxiliaryTable)
    """Table of the auxiliary loss."""

    start_from: str | None = model_path()
    """Model to begin with: its folder, or a recipe whose model is trained. The training begins with its
    encoder and with the rows of labels that have the same names; others begin as usual."""

    run_name: str = runtime("")
    """Name of the run in TensorBoard and in reports; by default the name of the recipe."""

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
        if not 0.0 <= self.average_decay < 1.0:
            raise ValueError(f"expected 0 <= average_decay < 1, got average_decay = {self.average_decay}")
        if self.encoder.frozen and self.auxiliary.weight not in (0.0, AUTO):
            raise ValueError(
                "expected auxiliary.weight = 0 with encoder.frozen = true, because the auxiliary loss "
                f"trains the encoder alone, got {self.auxiliary.weight}"
            )
        require_rewiring(self.rewire, self.head)
        if self.head.word_fan_in and self.accumulation > 1:
            raise ValueError(
                "expected accumulation = 1 with head.word_fan_in > 0, because words are updated after each "
                f"batch, got {self.accumulation}"
            )
        require_growth(self.head, self.rewire, self.encoder.frozen, self.chooses_words_again)
        if self.loss != AUTO:
            require_loss(self.loss)
        if self.memory == "light":
            _require_light(self)
        elif self.head.weight_dtype != "precision":
            raise ValueError("expected memory = 'light' with head.weight_dtype = 'float8', got 'paper'")
        self._set_rules()

    def _set_rules(self) -> None:
        """Set `auto_rules`: then a fingerprint of values that are "auto" changes when their rules change."""
        version = RULES_VERSION if auto_keys(self) else 0
        if self.auto_rules not in (0, version):
            raise ValueError(
                f"expected auto_rules = {version}, got {self.auto_rules}: the rules of this version of "
                'xmcpipe are others; name the values that are "auto", as in the model.json of that training'
            )
        object.__setattr__(self, "auto_rules", version)

    @property
    def chooses_words_again(self) -> bool:
        """Whether labels read words, and rewirings replace some of them."""
        return self.head.word_fan_in > 0 and self.rewire.word_growth == "documents"

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits of the shards that are trained on."""
        return ("train", "label") if self.label_features else ("train",)


@dataclass(frozen=True)
class TrainConfig(TrainTable):
    """[train] with every value chosen; the defaults, mostly the paper's, are for code without a recipe."""

    epochs: int = 10
    loss: str = "squared_hinge"
    warmup_steps: int = 1000
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    rewire: RewireConfig = field(default_factory=RewireConfig)
    auxiliary: AuxiliaryConfig = field(default_factory=AuxiliaryConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if keys := auto_keys(self):
            raise ValueError(f'expected a value in {", ".join(keys)}, got "auto"')


def _require_light(config: TrainTable) -> None:
    """Raise ValueError for settings that memory = "light" does not support."""
    head, encoder = config.head, config.encoder
    in_place = tuple(name for name, kind in HEADS.items() if kind.updates_in_place)
    settings: list[tuple[str, object, tuple[object, ...]]] = [
        ("head.kind", head.kind, in_place),
        ("head.optimizer", head.optimizer, ("sgd", AUTO)),
        ("encoder.optimizer", encoder.optimizer, ("adamw",)),
        # Clipping needs all gradients at once, but each one is freed as soon as it is used.
        ("encoder.max_grad_norm", encoder.max_grad_norm, (0.0,)),
        ("accumulation", config.accumulation, (1,)),
        ("average", config.average, ("none",)),  # 16-bit weights can't take the place of their float32 means
        ("precision", config.precision, ("bfloat16", "float32")),  # a loss scaler would have to undo updates
    ]
    for name, value, allowed in settings:
        if value not in allowed:
            choices = " or ".join(repr(choice) for choice in allowed if choice != AUTO)
            raise ValueError(
                f"expected {name} = {choices} with memory = 'light', got {name} = {value!r}: "
                "change it, or set memory = 'paper'"
            )
