"""Predicted beside measured, for the manifest of a training."""

import logging
from dataclasses import replace
from typing import Any

import torch

from xmcpipe.memory.measure import shape_of
from xmcpipe.memory.plan import plan
from xmcpipe.memory.rehearsal import rehearse
from xmcpipe.memory.shape import StepShape
from xmcpipe.training.trainer import Trainer
from xmcpipe.training.used_memory import peak_bytes

logger = logging.getLogger(__name__)


def memory_figures(trainer: Trainer) -> dict[str, Any]:
    """{"predicted_bytes": {part: …, "total": …, "host": …}, "measured_bytes": {"total", "host"}, "ratio"}.

    Measured is what lived at once: tensors in the first steps on a CPU, the allocator's blocks in all of the
    training on a GPU. Predicted is the same, for a batch of that shape or for one of the longest documents.
    `host` is resident memory, predicted on a CPU alone: the tensors, and what else is resident between steps.
    """
    meter, gpu = trainer.meter, trainer.device.type == "cuda"
    peaks = peak_bytes(trainer.device)
    measured = {"total": peaks["gpu"] if gpu else meter.peak, "host": peaks["host"]}
    shape = _largest(trainer) if gpu else meter.shape
    if shape is None or not measured["total"]:
        return {"measured_bytes": measured}
    try:
        parts = _predict(trainer, shape)
    except Exception as error:  # an operator that knows no "meta": no reason to lose a training
        logger.warning("train: no memory was predicted: %s", str(error).partition("\n")[0])
        return {"measured_bytes": measured}
    predicted = {**parts, "total": sum(parts.values())}
    if not gpu:
        predicted["host"] = meter.process + predicted["total"]
    ratio = round(predicted["total"] / measured["total"], 4)
    return {"predicted_bytes": predicted, "measured_bytes": measured, "ratio": ratio}


def _predict(trainer: Trainer, shape: StepShape) -> dict[str, int]:
    encoder, config = trainer.model.encoder, trainer.config
    on_gpu = trainer.device.type == "cuda"
    if not (on_gpu or trainer.meter.gradients):
        config = replace(config, gradients_every=0)  # as in the step with which it is compared

    def again() -> Any:
        return type(encoder)(encoder.config).float()

    if on_gpu:
        return plan(config, again, shape, "cuda").parts
    return rehearse(config, again, shape, "cpu").at_peak()  # no rewiring is in the first steps


def _largest(trainer: Trainer) -> StepShape:
    """That of a batch of the longest documents, with as many labels as they have on average."""
    feed, config = trainer.feed, trainer.config
    lengths = feed.shards.lengths[feed.train_rows]
    longest = feed.train_rows[
        torch.from_numpy(lengths).topk(min(config.batch_size, len(lengths))).indices.numpy()
    ]
    shape = shape_of(trainer, longest)
    clusters = 0 if trainer.clusters is None else int(trainer.clusters.max()) + 1  # the branch may be gone
    return StepShape(shape.labels, clusters, shape.rows, shape.tokens, shape.positives)
