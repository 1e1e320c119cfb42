"""The rules behind "auto": a function for each key of [train] that can have this value.

docs/defaults.md explains them and says where they were tried. They hold from 500 documents and 10 labels to
millions of both. A rule that changes raises `RULES_VERSION` in training/config.py.

N training documents, without the validation split. L labels, D features of the output layer, E width of the
encoder, K fan-in.
"""

import math

from xmcpipe.errors import XmcpipeError
from xmcpipe.training.head_config import BiasInit, OptimizerKind

# Every label is scored in every step. The sum over labels keeps the gradient of the few positives as large as
# it is with few labels; squared hinge, a mean over them, needs many more epochs to reach the same.
LOSS = "bce"

PASSES = 95.0  # epochs of one document, if the power law below held so far down
WORD_PASSES = 50.0  # for labels that read words
FROZEN_FACTOR = 3
HINGE_FACTOR = 10  # the paper trains with squared hinge for 50 to 110 epochs

SPARSE = 1 / 6  # of the features: 83% sparse, as in the paper
MULTIPLE = 16  # K is a multiple of it
WIDEST = 128  # K of the paper's layers over 768 features
# Connections that a layer may have before it is made sparser: 14 MB with AdamW's moments. A frozen encoder
# does not adapt its features to the few that a label reads.
CONNECTIONS, FROZEN_CONNECTIONS = 1 << 20, 1 << 22

ENCODER_RATE, RATE_WIDTH = 2e-4, 384  # of MiniLM in the recipes
MAX_ENCODER_RATE = 3e-4
ADAM_RATE = 0.01
SGD_RATE = 5 / 64  # 5.0 for a mean over 64 documents, as in debian-light
MOMENTUM = 0.9

WARMUP, MAX_WARMUP = 0.1, 1000
REWIRINGS = 16
MIN_INTERVAL, MAX_INTERVAL = 20, 1000  # steps
AUXILIARY_WEIGHT, AUXILIARY_SHARE = 0.4, 0.25


def epochs(documents: int, loss: str, frozen: bool, words: bool = False) -> int:
    """95 / N^(1/4), from 3 to 20: 7 for 41,000 documents, 3 for 560,000. With `words` 50 / N^(1/4): 4 and 3.

    Small data need more passes, but not as many more as they are smaller: the steps grow as N^(3/4). Labels
    that read words learn from fewer passes, and learn documents by heart in more. Without words and with a
    frozen encoder each label must learn from its own few features, and a step takes milliseconds.
    """
    passes = (WORD_PASSES if words else PASSES) / math.sqrt(math.sqrt(max(documents, 1)))
    if loss != LOSS:
        return round(min(max(HINGE_FACTOR * passes, 30), 100))
    if frozen and not words:
        return round(min(max(FROZEN_FACTOR * passes, 10), 30))
    return round(min(max(passes, 3), 20))


def fan_in(features: int, labels: int, frozen: bool) -> int:
    """D / 6 for many labels; for few, as many as keep the layer at 2^20 connections (2^22 if `frozen`).

    Sparsity saves nothing where the layer is small anyway. From D / 2 on, labels read all features: an index
    costs as much as the weights that it saves.
    """
    connections = FROZEN_CONNECTIONS if frozen else CONNECTIONS
    wanted = max(min(features * SPARSE, WIDEST), connections / max(labels, 1))
    rounded = MULTIPLE * round(wanted / MULTIPLE) or MULTIPLE
    return features if rounded > features // 2 else rounded


def optimizer(memory: str) -> OptimizerKind:
    """The only one that memory = "light" supports, else AdamW."""
    return "sgd" if memory == "light" else "adamw"


def momentum(memory: str) -> float:
    """None with memory = "light": its tensor would be as large as the weights."""
    return 0.0 if memory == "light" else MOMENTUM


def head_lr(kind: OptimizerKind, loss: str, reduction: str, batch: int, momentum_: float) -> float:
    """0.01 under Adam and AdamW, which are indifferent to the scale of the loss; SGD is not.

    With a mean over the documents of a step, SGD's rate grows with their number. Raises XmcpipeError for SGD
    with a loss that has no rule.
    """
    if kind != "sgd":
        return ADAM_RATE
    if loss != "bce":
        raise XmcpipeError(
            f'train.head.lr = "auto" has no rule for sgd with the loss {loss}',
            'give train.head.lr a number, or set train.loss = "bce"',
        )
    documents = batch if reduction == "mean" else 1
    return round(SGD_RATE * documents * (1 - momentum_), 6)


def encoder_lr(width: int) -> float:
    """2e-4 for an encoder of width 384 and 5e-5 for one of 768: 2e-4 (384 / E)^2, at most 3e-4."""
    return min(float(f"{ENCODER_RATE * (RATE_WIDTH / width) ** 2:.2g}"), MAX_ENCODER_RATE)


def dropout(epochs_: int, frozen: bool) -> float:
    """0.1, and 0.5 for an encoder that is trained as long as the paper's: it sees every document often."""
    return 0.1 if frozen or epochs_ <= 20 else 0.5


def bias(loss: str) -> bool:
    """With bce: then the weights need not learn first that nearly all labels are absent."""
    return loss == "bce"


def bias_init(has_bias: bool, loss: str) -> BiasInit:
    """The constant that minimises the loss, with bce; zero for the other losses, as in the paper."""
    return "prior" if has_bias and loss == "bce" else "zero"


def warmup_steps(total: int) -> int:
    """A tenth of the training, at most the paper's 1,000 steps."""
    return min(round(WARMUP * total), MAX_WARMUP)


def interval(total: int, until: float, fixed: bool) -> int:
    """So that 16 rewirings happen, 20 to 1,000 steps apart; in a shorter training at least one.

    None if the connections are `fixed`: the head has none, or labels read all features.
    """
    last = int(until * total)  # the last step after which a rewiring can happen
    if fixed or last == 0:
        return 0
    return min(max(last // REWIRINGS, MIN_INTERVAL), MAX_INTERVAL, last)


def auxiliary_weight(has_clusters: bool, frozen: bool) -> float:
    """The paper's 0.4 if the recipe makes clusters and the encoder, which the loss helps, is trained."""
    return AUXILIARY_WEIGHT if has_clusters and not frozen else 0.0


def cutoff_epoch(total: int, per_epoch: int) -> float:
    """A quarter of the training, as in the recipes for small data."""
    return float(f"{AUXILIARY_SHARE * total / per_epoch:.4g}")
