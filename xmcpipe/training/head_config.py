"""The recipe tables [train.head] and [train.rewire]: the output layer, and how its connections change.

A table may leave values "auto"; the class …Config below it is the same table with every value chosen
(training.auto). Source: the paper's Tables 8 and 9 (Ullah et al. 2024).
"""

from dataclasses import dataclass
from typing import Literal

from xmcpipe.config import AUTO, Auto, later, require_at_least
from xmcpipe.modeling.head_table import HEADS, require_head

OptimizerKind = Literal["adamw", "adam", "sgd"]
BiasInit = Literal["zero", "prior"]


@dataclass(frozen=True)
class HeadTable:
    """[train.head]: the output layer, the layer before it, and their optimizer."""

    kind: str = "ffi"
    """Kind of output layer: ffi (each label reads fan_in features), dense (each label reads all features), or
    bottleneck (two dense layers with as many parameters as ffi)."""

    fan_in: int | Auto = AUTO
    """Number of features that each label reads (K); "auto" follows the number of features and labels."""

    group: int = later(1)
    """Number of labels of a sparse head that share the features they read (G), with weights of their own:
    the index takes G times fewer bytes, and a step is faster. 1 gives each label features of its own."""

    group_by: Literal["meaning", "random", "frequency"] = later("meaning", of="group")
    """Which labels form a group: those of similar documents (meaning), which needs a [cluster] table with
    cluster.group set to the same size; labels at random; or labels of similar frequency (frequency)."""

    topology: Literal["random", "informed"] = later("random")
    """Which features a label reads at first: random ones, or those in which the mean embedding of its
    documents is farthest from that of all documents (informed). The latter needs an [embed] table and a
    sparse head without an intermediate layer."""

    weight_init: Literal["random", "means"] = later("random")
    """First weights of the features: random ones, or those along which the mean embedding of a label's
    documents differs from that of all documents (means). The latter needs an [embed] table and a sparse head
    without an intermediate layer."""

    word_fan_in: int = later(0)
    """Number of words of the document that each label of a sparse head reads beside the features (K'). It
    needs shards made with tokenize.words. The words that tell a label's documents from all others are chosen
    before the training. 0 reads features alone."""

    word_lr: float = later(15.0, of="word_fan_in")
    """Peak learning rate of the words' weights, for one document: a step moves a weight by it times the
    gradient of the summed loss. They are updated by SGD without momentum and decay, whatever optimizer is
    set."""

    frequent_labels: int = later(0)
    """Number of labels, the most frequent ones (H), that read every feature, beside the sparse head of all
    others. Labels of thousands of documents need it, and cost little because they are few. 0 turns it off."""

    frequent_word_fan_in: int = later(1024, of="frequent_labels")
    """Number of words that each of the frequent labels reads, if labels read words."""

    frequent_word_lr: float = later(2.0, of="frequent_labels")
    """Peak learning rate of these words' weights, as word_lr. It is lower than that one, because such a label
    reads nearly all words of a document, and their steps add up in its score."""

    frequent_features: Literal["all", "own"] = later("all")
    """Features that the frequent labels read: all of them, beside the other labels (all), or the second half
    alone, which the other labels then leave to them (own)."""

    bias: bool | Auto = AUTO
    """Give each label a trained bias; "auto" does so with the loss bce."""

    bias_init: BiasInit | Auto = AUTO
    """Initial bias: 0 (zero), or the constant score that minimises the loss of each label (prior); "auto" is
    prior with the loss bce."""

    weight_dtype: Literal["precision", "float8"] = later("precision")
    """Numbers that the weights of a sparse head are stored in: those of train.precision, or float8, E4M3
    numbers of 8 bits, from 3e-5 to 7 in magnitude, rounded at random and right on average. float8 needs
    memory = "light" and an even fan_in; words, biases and the head of frequent labels keep their bits."""

    init_std: float = 0.0
    """Standard deviation of the initial weights; 0 means 1 / sqrt(number of features that a label reads)."""

    intermediate: int = 0
    """Width of a dense layer with ReLU between encoder and output layer; 0 omits the layer."""

    intermediate_lr: float = 2.01e-4
    """Peak learning rate of the intermediate layer."""

    optimizer: OptimizerKind | Auto = AUTO
    """Optimizer of the output layer, the intermediate layer and the auxiliary branch: adamw, adam or sgd.
    With memory = "light" it must be sgd, for the output layer alone; the two other layers use AdamW. "auto"
    is sgd with memory = "light", else adamw."""

    lr: float | Auto = AUTO
    """Peak learning rate of the output layer; "auto" follows the optimizer and the loss."""

    weight_decay: float = 1e-4
    """Weight decay of the output layer, the intermediate layer and the auxiliary branch; the biases of the
    output layer are not decayed."""

    momentum: float | Auto = AUTO
    """Momentum of the output layer under sgd; 0 needs no memory for it. "auto" is 0 with memory = "light",
    else 0.9."""

    @property
    def features_apart(self) -> bool:
        """Whether the frequent labels read one half of the features, and all others the other."""
        return self.frequent_labels > 0 and self.frequent_features == "own"

    @property
    def groups_by_meaning(self) -> bool:
        """Whether the order of the labels is read from the clusters."""
        return self.group > 1 and self.group_by == "meaning"

    def __post_init__(self) -> None:
        require_head(self.kind)
        require_at_least(self, 1, "fan_in", "group")
        if self.group > 1 and not HEADS[self.kind].is_sparse:
            raise ValueError(f"expected a sparse head with group > 1, got kind = {self.kind!r}")
        if self.weight_dtype == "float8" and self.fan_in != AUTO and int(self.fan_in) % 2:
            raise ValueError(f"expected an even fan_in with weight_dtype = 'float8', got {self.fan_in}")
        require_at_least(
            self, 0, "init_std", "intermediate", "intermediate_lr", "lr", "weight_decay", "momentum"
        )
        require_at_least(self, 0, "word_fan_in", "word_lr")
        if self.word_fan_in and not HEADS[self.kind].is_sparse:
            raise ValueError(f"expected a sparse head with word_fan_in > 0, got kind = {self.kind!r}")
        require_at_least(self, 0, "frequent_labels", "frequent_word_fan_in", "frequent_word_lr")
        if self.frequent_labels:
            require_frequent(self)
        if self.topology == "informed":
            require_embedding_features(self, "topology = 'informed'")
        if self.weight_init == "means":
            require_embedding_features(self, "weight_init = 'means'")


@dataclass(frozen=True)
class HeadConfig(HeadTable):
    """[train.head] with every value chosen; the defaults, the paper's, are for code without a recipe."""

    fan_in: int = 128
    bias: bool = False
    bias_init: BiasInit = "zero"
    optimizer: OptimizerKind = "adamw"
    lr: float = 0.01
    momentum: float = 0.9


@dataclass(frozen=True)
class RewireTable:
    """[train.rewire]: rewiring of the sparse output layer by SET (Mocanu et al. 2018) or by gradients."""

    mode: Literal["fraction", "threshold"] = "fraction"
    """Which connections a rewiring replaces: a fixed fraction, those with the smallest weights (fraction), or
    all whose weight is below a threshold that decreases (threshold)."""

    interval: int | Auto = AUTO
    """Number of optimizer steps between rewirings; 0 keeps the first connections, and "auto" is a share of
    the training."""

    until: float = 0.66
    """Fraction of all optimizer steps after which no rewiring happens."""

    fraction: float = 0.25
    """Fraction of all connections that a rewiring replaces, in mode fraction."""

    prune: Literal["layer", "row"] = later("layer")
    """Among which weights the smallest are chosen in mode fraction: those of the whole layer, or of each
    label (row), so that every label replaces the same number."""

    growth: Literal["random", "gradient", "documents"] = later("random")
    """Which features replace the pruned ones: random ones, or those at which the gradient of the loss,
    averaged over the last batches, is largest (gradient). With documents, the part of a label's own documents
    in it is averaged over all training documents, by the last features of each."""

    word_growth: Literal["none", "documents"] = later("documents")
    """Whether a rewiring also replaces words, if labels read some. With documents, each label drops the given
    fraction of its words, those with the smallest weights, for words that stand out in its documents. A
    document counts by the gradient of its score, so that those that are still wrong count most."""

    window: int = later(100)
    """Number of batches before a rewiring whose features are kept for growth other than random."""

    threshold: float = 0.01
    """Initial threshold in mode threshold: weights with a smaller magnitude are replaced. It decreases along
    a cosine to final_threshold."""

    final_threshold: float = 1e-4
    """Threshold of the last rewiring, in mode threshold."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, "interval", "until", "fraction", "threshold", "final_threshold")
        require_at_least(self, 1, "window")
        for name in ("until", "fraction"):
            if getattr(self, name) > 1.0:
                raise ValueError(f"expected {name} <= 1, got {name} = {getattr(self, name)}")
        if self.mode == "threshold" and self.prune == "row":
            raise ValueError("expected prune = 'layer' with mode = 'threshold', got prune = 'row'")


@dataclass(frozen=True)
class RewireConfig(RewireTable):
    """[train.rewire] with every value chosen; the default is for code without a recipe."""

    interval: int = 1000


def require_rewiring(rewire: RewireTable, head: HeadTable) -> None:
    """Raise ValueError if rewiring by row is on, but a fraction of a row is less than one connection."""
    by_row = rewire.mode == "fraction" and rewire.prune == "row" and rewire.interval
    if head.fan_in == AUTO or rewire.interval == AUTO:
        return
    if by_row and HEADS[head.kind].rewires and rewire.fraction * head.fan_in < 1:
        raise ValueError(
            f"expected rewire.fraction >= 1 / head.fan_in = {1 / head.fan_in:.3g} with prune = 'row', got "
            f"{rewire.fraction}, which replaces nothing: raise it, or set rewire.interval = 0"
        )


def require_frequent(head: HeadTable) -> None:
    """Raise ValueError unless frequent labels can have a head of their own beside this one."""
    if not HEADS[head.kind].is_sparse:
        raise ValueError(f"expected a sparse head with frequent_labels > 0, got kind = {head.kind!r}")
    if not head.bias:
        raise ValueError(
            "expected bias = true with frequent_labels > 0, because a bias keeps them out of the sparse head"
        )


def require_embedding_features(head: HeadTable, setting: str) -> None:
    """Raise ValueError unless the head is sparse, and its features are those of an embedding."""
    if not HEADS[head.kind].is_sparse:
        raise ValueError(f"expected a sparse head with {setting}, got kind = {head.kind!r}")
    if head.intermediate:
        raise ValueError(
            f"expected intermediate = 0 with {setting}, because its features are not those of the "
            f"embeddings, got {head.intermediate}"
        )


def require_growth(head: HeadTable, rewire: RewireTable, frozen: bool, words: bool) -> None:
    """Raise ValueError unless connections, and `words` of the head, can grow as `rewire` says."""
    if rewire.growth != "random" and not HEADS[head.kind].rewires:
        raise ValueError(
            f"expected a head that rewires with rewire.growth = {rewire.growth!r}, got kind = {head.kind!r}"
        )
    for key, by_documents in (("growth", rewire.growth == "documents"), ("word_growth", words)):
        if by_documents and frozen and head.intermediate:
            raise ValueError(
                f"expected head.intermediate = 0 with rewire.{key} = 'documents' and encoder.frozen = true, "
                f"because its features are not those of the embeddings, got {head.intermediate}"
            )
