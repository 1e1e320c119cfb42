"""Warnings about a schedule that can't work as its settings say, before the training starts."""

from xmcpipe.modeling.head_table import HEADS
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.schedule import Steps, num_held_out


def schedule_warnings(config: TrainConfig, steps: Steps, documents: int, features: int = 0) -> list[str]:
    """One line for each setting that has no effect in a training of `steps`, with what to do.

    `documents` are those of the training split, before validation documents are set aside; `features` is D, 0
    if it is unknown. Values that are "auto" cause none of these.
    """
    held_out = num_held_out(config, documents)
    checks = (
        _warmup(config, steps),
        _rewiring(config, steps, features),
        _auxiliary(config, steps),
        *_validation(config, steps, held_out),
    )
    return [line for line in checks if line]


def _warmup(config: TrainConfig, steps: Steps) -> str:
    if config.warmup_steps < steps.total:
        return ""
    return (
        f"train.warmup_steps = {config.warmup_steps:,} is not less than the {steps.total:,} steps of the "
        "training, so learning rates never come down: lower it, or set it to auto"
    )


def _rewiring(config: TrainConfig, steps: Steps, features: int) -> str:
    rewire, head = config.rewire, config.head
    if not rewire.interval or not HEADS[head.kind].rewires:
        return ""
    if head.fan_in == features:
        return (
            f"train.rewire.interval = {rewire.interval:,} is without effect, because each label reads all "
            f"{features:,} features: lower train.head.fan_in, or set the interval to auto or 0"
        )
    last = rewire.until * steps.total
    if rewire.interval <= last:
        return ""
    return (
        f"train.rewire.interval = {rewire.interval:,} is more than the {int(last):,} steps in which "
        "connections may be rewired, so none is: lower it, or set it to auto (or to 0, to rewire none)"
    )


def _auxiliary(config: TrainConfig, steps: Steps) -> str:
    cutoff, epochs = config.auxiliary.cutoff_epoch, steps.total / steps.per_epoch
    if not config.auxiliary.weight or cutoff <= epochs:
        return ""
    return (
        f"train.auxiliary.cutoff_epoch = {cutoff:g} is after the end of the training at epoch {epochs:.3g}, "
        "so the auxiliary loss never ends: lower it, or set it to auto"
    )


def _validation(config: TrainConfig, steps: Steps, held_out: int) -> list[str]:
    if not held_out:
        if not config.validation:
            return []
        return [
            f"train.validation = {config.validation:g} sets no document aside, so the last model is saved, "
            "not the best: raise it"
        ]
    lines, epochs = [], -(-steps.total // steps.per_epoch)
    if config.evaluate_every > epochs:
        lines.append(
            f"train.evaluate_every = {config.evaluate_every:,} is more than the {epochs:,} epochs, so only "
            "the last model is evaluated: lower it"
        )
    evaluations = -(-epochs // config.evaluate_every)  # the last step is always followed by one
    if config.patience and config.patience >= evaluations - 1:
        lines.append(
            f"train.patience = {config.patience:,} can't be reached before the last of {evaluations:,} "
            "evaluations, so training never stops early: lower it, or set it to 0"
        )
    return lines
