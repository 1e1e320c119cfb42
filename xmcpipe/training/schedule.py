"""Schedules of the learning rates, the weight of the auxiliary loss, and the threshold of rewiring.

Also how many steps there are, and which documents are set aside for validation.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xmcpipe.training.config import TrainTable

if TYPE_CHECKING:
    from xmcpipe.data.shards.files import Int64s


@dataclass(frozen=True)
class Steps:
    """Optimizer steps of an epoch and of the whole training."""

    per_epoch: int
    total: int

    @staticmethod
    def of(documents: int, table: TrainTable, epochs: int) -> "Steps":
        """The steps of `epochs` over this number of training documents, without those held out."""
        batches = -(-documents // table.batch_size)
        per_epoch = -(-batches // table.accumulation)
        total = per_epoch * epochs
        return Steps(per_epoch, min(total, table.max_steps) if table.max_steps else total)


def num_held_out(table: TrainTable, documents: int) -> int:
    """The number of documents of the training split that are set aside for validation."""
    return held_out_count(table.validation, table.validation_max, documents)


def held_out_count(validation: float, most: int, documents: int) -> int:
    """`num_held_out`, from the values of train.validation and train.validation_max."""
    return min(int(validation * documents), most)


def divided(documents: int, count: int, seed: int) -> "tuple[Int64s, Int64s]":
    """The rows of the training split that are set aside, `count` of them, and all others, ascending."""
    import numpy as np

    order = np.random.default_rng([seed, 1]).permutation(documents)
    return np.sort(order[:count]), np.sort(order[count:])


def rate_factor(step: int, warmup_steps: int, total_steps: int) -> float:
    """The factor of all learning rates at `step`, from 0: linear warm-up to 1, then a cosine to 0."""
    warmup_steps = min(warmup_steps, total_steps)
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)  # the first step has a rate above 0 already
    return _cosine(1.0, 0.0, (step - warmup_steps) / max(total_steps - warmup_steps, 1))


def auxiliary_weight(epoch: float, weight: float, cutoff_epoch: float) -> float:
    """The weight s of the auxiliary loss: a cosine from `weight` to 0 at `cutoff_epoch`, then 0."""
    return _cosine(weight, 0.0, epoch / cutoff_epoch) if epoch < cutoff_epoch else 0.0


def prune_threshold(step: int, last_step: float, first: float, final: float) -> float:
    """The magnitude below which weights are pruned: a cosine from `first` to `final` at `last_step`."""
    return _cosine(first, final, step / max(last_step, 1.0))


def _cosine(first: float, last: float, fraction: float) -> float:
    """Half a cosine from `first` at fraction 0 to `last` at fraction 1, constant outside."""
    return last + (first - last) * 0.5 * (1.0 + math.cos(math.pi * min(max(fraction, 0.0), 1.0)))
