"""Predicted and measured memory of a training, for its manifest."""

import logging
from dataclasses import replace
from typing import Any

import torch

from xmcpipe.memory.measure import FirstStepsMeter, shape_of
from xmcpipe.memory.plan import plan
from xmcpipe.memory.rehearsal import rehearse
from xmcpipe.memory.shape import BatchShape
from xmcpipe.training.feed import count_clusters
from xmcpipe.training.trainer import Trainer
from xmcpipe.training.used_memory import peak_bytes

logger = logging.getLogger(__name__)


def memory_figures(trainer: Trainer, meter: FirstStepsMeter) -> dict[str, Any]:
    """{"predicted_bytes": {part: …, "total": …, "host": …}, "measured_bytes": {"total", "host"}, "ratio"}.

    `meter` is the one that watched the trainer. Measured are peaks: on a CPU, of the bytes of live tensors in
    the first steps; on a GPU, of the allocator's blocks in the whole training. Predicted is the same peak,
    for a batch of that shape (CPU) or of the longest documents (GPU). `host` is resident memory; it is
    predicted on a CPU only, as the tensors and what else is resident between steps.
    """
    gpu = trainer.device.type == "cuda"
    peaks = peak_bytes(trainer.device)
    measured = {"total": peaks["gpu"] if gpu else meter.peak, "host": peaks["host"]}
    shape = _largest(trainer) if gpu else meter.shape
    if shape is None or not measured["total"]:
        return {"measured_bytes": measured}
    try:
        parts = _predict(trainer, shape, meter.gradients)
    except Exception as error:  # an operator without an implementation for "meta" must not fail a training
        logger.warning("train: no memory was predicted: %s", str(error).partition("\n")[0])
        return {"measured_bytes": measured}
    predicted = {**parts, "total": sum(parts.values())}
    if not gpu:
        predicted["host"] = meter.process + predicted["total"]
    ratio = round(predicted["total"] / measured["total"], 4)
    return {"predicted_bytes": predicted, "measured_bytes": measured, "ratio": ratio}


def _predict(trainer: Trainer, shape: BatchShape, gradients: bool) -> dict[str, int]:
    """Predicted bytes of each part; `gradients`: whether the measured step computed gradient norms."""
    encoder, config = trainer.model.encoder, trainer.config
    on_gpu = trainer.device.type == "cuda"
    if not (on_gpu or gradients):
        # The measured step computed no gradient norms, so the rehearsed one must not either.
        config = replace(config, gradients_every=0)

    def rebuild_encoder() -> Any:
        return type(encoder)(encoder.config).float()

    if on_gpu:
        return plan(config, rebuild_encoder, shape, "cuda").parts
    # A rehearsal rather than a plan: the measured first steps contain no rewiring.
    return rehearse(config, rebuild_encoder, shape, "cpu").parts_at_peak


def _largest(trainer: Trainer) -> BatchShape:
    """The shape of a batch of the longest documents, with the labels of these documents."""
    feed, config = trainer.feed, trainer.config
    lengths = feed.shards.lengths[feed.train_rows]
    longest = feed.train_rows[
        torch.from_numpy(lengths).topk(min(config.batch_size, len(lengths))).indices.numpy()
    ]
    shape = shape_of(trainer, longest)
    # Not from the model: the auxiliary branch may have been dropped by now.
    clusters = count_clusters(trainer.clusters)
    return replace(shape, clusters=clusters)
