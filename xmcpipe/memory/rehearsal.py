"""Rehearses training steps on tensors without memory, to count the bytes that real steps will allocate.

The real trainer runs on a model on the device "meta": forward, loss, backward and update, with the settings
of the recipe. Sizes don't depend on values (which labels are positive, whether a loss is finite).
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xmcpipe.memory.meta.imports import without_compiler
from xmcpipe.memory.meta_meter import CPU, MetaMeter
from xmcpipe.memory.parts import (
    ACTIVATIONS,
    BRANCHES,
    LABEL_FACTS,
    LIBRARIES,
    TEMPORARIES,
    count_all,
    count_moments,
    part_of,
)
from xmcpipe.memory.shape import BatchShape
from xmcpipe.memory.stand_ins import META, PlannedFeed, optimizer_kernels_on_meta, outer_chunks
from xmcpipe.modeling.encoder import recompute_activations
from xmcpipe.modeling.heads import Head
from xmcpipe.modeling.model import Model, build_model, embedding_size
from xmcpipe.ops.word_layer import MAX_WORDS
from xmcpipe.training.build import model_shape
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.trainer import Trainer

# Workspace of cuBLAS, allocated through torch: 32 MiB on an H100 (8 MiB on older cards) for each thread that
# multiplies matrices; forward and backward are two threads (at::cuda::getChosenWorkspaceSize).
CUBLAS_BYTES = 2 * (32 << 20)
STEPS = 2  # the first step allocates the optimizers' state, and the second step begins with it


@dataclass(frozen=True)
class Rehearsal:
    """The results of a rehearsal on `device`, "cpu" or "cuda"; bytes by part.

    `parts_at_peak`: at the peak of a step. `part_peaks`: the peak of each part alone. `between_steps`:
    the tensors that exist between two steps. `flops`: operations of an optimizer step, except those of the
    head. `encoder_values`: number of parameter values of the encoder. `head`: the head, on "meta".
    """

    device: str
    parts_at_peak: dict[str, int]
    part_peaks: dict[str, int]
    between_steps: dict[str, int]
    flops: int
    encoder_values: int
    head: Head


def rehearse(
    config: TrainConfig, make_encoder: Callable[[], Any], shape: BatchShape, device: str
) -> Rehearsal:
    """Run steps of `config` on batches of `shape`, as if on `device` ("cpu" or "cuda"), and count.

    `make_encoder` returns the encoder in float32, on the default device at the time of the call. Raises
    XmcpipeError for K > D. The state of torch's generator is restored.
    """
    meter = MetaMeter(device)
    with torch.random.fork_rng(devices=[]), without_compiler():
        trainer = _trainer(config, make_encoder, shape, meter)
        count_all(meter, trainer)
        if device == "cuda":
            meter.add(LIBRARIES, CUBLAS_BYTES)
        else:
            meter.count([trainer.feed.label_counts], LABEL_FACTS)
        _register_hooks(meter, trainer)
        # The peak of a step over many batches is that of two, so two are enough.
        batches, flops = min(config.accumulation, 2), 0
        with optimizer_kernels_on_meta(device), meter.functions, meter:
            for _ in range(STEPS):
                trainer.step([trainer.feed.train_rows] * batches)
                count_moments(meter, trainer)
                flops = flops or meter.flops  # of the first step only: the second may measure gradients
        between_steps = meter.live_parts()
    model = trainer.model
    return Rehearsal(
        device=device,
        parts_at_peak=meter.parts_at_peak(),
        part_peaks=meter.part_peaks(),
        between_steps=between_steps,
        flops=flops * config.accumulation // batches,
        encoder_values=sum(parameter.numel() for parameter in model.encoder.parameters()),
        head=model.head,
    )


def _trainer(
    config: TrainConfig, make_encoder: Callable[[], Any], shape: BatchShape, meter: MetaMeter
) -> Trainer:
    """A trainer on "meta"; nothing is read and no weight of the head is drawn."""
    # What growth keeps of all documents is on the host; on the device both kinds of growth hold the same.
    rewire = replace(config.rewire, word_growth="none")
    config = replace(
        config, rewire=rewire if rewire.growth == "random" else replace(rewire, growth="gradient")
    )
    with META:
        encoder = make_encoder()
        width = embedding_size(encoder)
        planned = model_shape(config, width, shape.labels, shape.clusters, num_words=MAX_WORDS)
        planned = replace(planned, piece_length=shape.piece_length)
        model = build_model(encoder, planned, META)
        if model.words is not None:
            model.words.to(META)
    for head in model.heads:
        head.chunking = outer_chunks
    if config.encoder.checkpointing:
        # The layers that backward recomputes must run on the emulated device as well.
        recompute_activations(encoder, lambda: (nullcontext(), meter.functions))
    clusters = torch.empty(shape.labels, dtype=torch.int64, device=META) if shape.clusters else None
    embedding = embedding_size(encoder) if config.encoder.frozen else 0
    feed = PlannedFeed(shape, meter, embedding, frequent=model.frequent is not None)
    trainer = Trainer(config, model, feed, clusters, CPU, Path(), device_type=meter.device)
    model.train()
    return trainer


def _register_hooks(meter: MetaMeter, trainer: Trainer) -> None:
    """Let hooks report to the meter what allocates: a module in forward, a gradient, or an optimizer."""
    model: Model = trainer.model
    for name, part in {"encoder": ACTIVATIONS, **BRANCHES}.items():
        module = getattr(model, name)
        if module is not None:
            module.register_forward_pre_hook(lambda *_, part=part: meter.begin(part))
            module.register_forward_hook(lambda *_: meter.end())
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            hook = partial(_assign, meter, part_of(name, "gradient"))
            parameter.register_hook(hook)  # type: ignore[no-untyped-call]
    for optimizer in trainer.updates.optimizers():
        optimizer.register_step_pre_hook(lambda *_: meter.begin(TEMPORARIES))
        optimizer.register_step_post_hook(lambda *_: meter.end())


def _assign(meter: MetaMeter, part: str, gradient: Tensor) -> None:
    meter.assign(gradient, part)
