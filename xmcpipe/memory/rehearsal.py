"""A training step rehearsed on tensors that have no memory, to count the bytes it will hold.

The trainer itself runs, on a model of the device "meta": forward, loss, backward, update, with the settings
of the recipe. What depends on values (where the positives are, whether a loss is finite) changes no size.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry

from xmcpipe.data.shards.files import Int64s
from xmcpipe.memory.device import AsOnDevice
from xmcpipe.memory.live_bytes import NAMESPACE, LiveBytes
from xmcpipe.memory.parts import (
    ACTIVATIONS,
    BATCH,
    BRANCHES,
    LABEL_FACTS,
    LIBRARIES,
    SCORES,
    TEMPORARIES,
    hold_all,
    hold_moments,
    optimizers,
    part_of,
)
from xmcpipe.memory.shape import StepShape
from xmcpipe.memory.workspace import workspace_on_cpu, workspace_on_gpu
from xmcpipe.modeling import heads
from xmcpipe.modeling.devices import AUTOCAST
from xmcpipe.modeling.encoder import recompute_activations
from xmcpipe.modeling.heads import HeadShape
from xmcpipe.modeling.model import Model, embedding_size
from xmcpipe.ops.layer import Positives
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.feed import Batch, Feed
from xmcpipe.training.trainer import Trainer

META, CPU = torch.device("meta"), torch.device("cpu")
CUDA_BLOCK = 512  # bytes; torch's allocator hands out multiples of it
# Of cuBLAS, allocated through torch: 32 MiB on an H100 (8 MiB on older cards) for each thread that
# multiplies, and forward and backward are two (at::cuda::getChosenWorkspaceSize).
CUBLAS_BYTES = 2 * (32 << 20)
STEPS = 2  # the first makes the optimizers' state, the second has it from its beginning


class PlannedFeed(Feed):
    """Batches of a stated shape, without documents."""

    def __init__(self, shape: StepShape) -> None:
        self.num_labels, self.shape = shape.labels, shape
        self.train_rows = np.arange(shape.rows)
        self.validation_rows = self.train_rows[:0]
        self.label_counts = torch.empty(shape.labels, dtype=torch.float64, device=META)

    @property
    def steps_per_epoch(self) -> int:
        """So many that no schedule comes to its end."""
        return 1 << 30

    def batch(self, rows: Int64s) -> Batch:
        """The same for any rows."""
        shape = self.shape
        size = (shape.rows, shape.tokens)
        ids, mask = (torch.empty(size, dtype=torch.int64, device=META) for _ in range(2))
        pairs = [torch.empty(shape.positives, dtype=torch.int64, device=META) for _ in range(2)]
        return Batch(ids, mask, Positives.of(*pairs))


class Rehearsal(LiveBytes):  # type: ignore[no-untyped-call]
    """Counts the bytes of meta tensors as if they were on `device`, "cpu" or "cuda".

    `rest`: bytes of each part between two steps. `flops`: operations of an optimizer step, but for those of
    the head. Of the model: `encoder_values` numbers in the encoder, `in_features` D, `head_width` weights a
    label.
    """

    rest: dict[str, int]
    encoder_values: int
    in_features: int
    head_width: int

    def __init__(self, device: str) -> None:
        super().__init__(CUDA_BLOCK if device == "cuda" else 1)
        self.device = device
        self.functions = AsOnDevice(device)
        self.flops = 0
        self._workspaces: dict[Any, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """As LiveBytes; casts of autocast are given up where its region has ended."""
        self.functions.forget_casts()
        return super().__torch_dispatch__(func, types, args, kwargs)

    def call(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run an operator on tensors without memory."""
        if func is torch.ops.aten._local_scalar_dense.default and args[0].is_meta:
            return _read(args[0])
        if func is torch.ops.aten._to_copy.default and kwargs.get("device") == CPU and args[0].is_meta:
            return torch.zeros(args[0].shape, dtype=args[0].dtype)
        if func.namespace != NAMESPACE:
            result = func(*args, **kwargs)
            formula = flop_registry.get(func.overloadpacket)
            self.flops += formula(*args, **kwargs, out_val=result) if formula else 0
            return result
        done = self.add(SCORES, self._workspace(func, args))
        result = func(*args, **kwargs)
        self.see(result)
        done()
        return result

    def part(self) -> str:
        """Between the encoder and backward there is the classifier."""
        if self._regions:
            return self._regions[-1]
        return ACTIVATIONS if torch._C._current_graph_task_id() != -1 else SCORES

    def _workspace(self, func: Any, args: tuple[Any, ...]) -> int:
        if self.device == "cuda":
            return workspace_on_gpu(func._schema.name.split("::")[1], args)
        key = (func, *((value.shape, value.dtype) if isinstance(value, Tensor) else value for value in args))
        if key not in self._workspaces:
            self._workspaces[key] = workspace_on_cpu(func, args)
        return self._workspaces[key]


def rehearse(
    config: TrainConfig, make_encoder: Callable[[], Any], shape: StepShape, device: str
) -> Rehearsal:
    """Run steps of `config` on batches of `shape`, as if on `device` ("cpu" or "cuda"), and count.

    `make_encoder` returns the encoder in float32, on what is the default device when it is called. Raises
    XmcpipeError for K > D.
    """
    meter = Rehearsal(device)
    with torch.random.fork_rng(devices=[]):
        with META:
            model = planned_model(config, make_encoder(), shape)
        trainer = _trainer(config, model, shape, device)
        hold_all(meter, trainer)
        if device == "cuda":
            meter.add(LIBRARIES, CUBLAS_BYTES)
        else:
            meter.hold([trainer.feed.label_counts], LABEL_FACTS)
        _mark(meter, trainer)
        batches, flops = min(config.accumulation, 2), 0
        with _kernels_that_allocate_nothing(device), meter.functions, meter:
            for _ in range(STEPS):
                trainer._before_step()
                trainer._step([trainer.feed.train_rows] * batches)
                trainer.progress.step += 1
                hold_moments(meter, trainer)
                flops = flops or meter.flops  # those of the first step: the second measures gradients too
        meter.rest = meter.now()
    meter.flops = flops * config.accumulation // batches
    meter.encoder_values = sum(parameter.numel() for parameter in model.encoder.parameters())
    meter.in_features, meter.head_width = model.head.shape.in_features, model.head.weight.shape[1]
    return meter


def planned_model(config: TrainConfig, encoder: Any, shape: StepShape) -> Model:
    """As `build.build_model`, but that nothing is read and nothing drawn."""
    if config.encoder.checkpointing:
        recompute_activations(encoder)
    dtype = config.precision if config.memory == "light" else "float32"
    in_features = config.head.intermediate or embedding_size(encoder)
    head_shape = HeadShape(
        config.head.kind, in_features, shape.labels, config.head.fan_in, config.head.bias, dtype=dtype
    )
    head = heads.build(head_shape, META)
    pooling, dropout = config.encoder.pooling, config.encoder.dropout
    model = Model(encoder, pooling, dropout, config.head.intermediate, head, shape.clusters)
    for part in (model.encoder, model.intermediate, model.auxiliary):
        if part is not None:
            part.to(heads.DTYPES[dtype])
    head.chunks = partial(_few_chunks, head.num_labels)  # type: ignore[method-assign]
    return model


def _few_chunks(num_labels: int, size: int) -> Iterator[tuple[int, int]]:
    """The first chunks of a head and its last: those between are like them, and may be thousands."""
    begins = range(0, num_labels, size)
    for begin in dict.fromkeys([*begins[:2], begins[-1]]):
        yield begin, min(begin + size, num_labels)


def _trainer(config: TrainConfig, model: Model, shape: StepShape, device: str) -> Trainer:
    one = torch.zeros(1, dtype=torch.int64) if shape.clusters else None
    trainer = Trainer(config, model, PlannedFeed(shape), one, CPU, Path())
    if trainer.clusters is not None:
        trainer.clusters = torch.empty(shape.labels, dtype=trainer.clusters.dtype, device=META)
    if device == "cuda":
        trainer.head_dtype = AUTOCAST[config.precision] or torch.float32
    model.train()
    return trainer


def _mark(meter: Rehearsal, trainer: Trainer) -> None:
    """Say what is made where: in a module's forward, as a parameter's gradient, by an optimizer."""
    model = trainer.model
    for module in model.encoder.modules():
        if hasattr(module, "_gradient_checkpointing_func"):  # in backward, layers are computed again
            again = partial(
                module._gradient_checkpointing_func, context_fn=lambda: (nullcontext(), meter.functions)
            )
            module._gradient_checkpointing_func = again
    modules = {"encoder": ACTIVATIONS, **BRANCHES}
    for name, part in modules.items():
        module = getattr(model, name)
        if module is not None:
            module.register_forward_pre_hook(lambda *_, part=part: meter.begin(part))
            module.register_forward_hook(lambda *_: meter.end())
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            gradient = part_of(name, "gradient")
            named = partial(_name, meter, gradient)
            parameter.register_hook(named)  # type: ignore[no-untyped-call]
    for optimizer in optimizers(trainer):
        optimizer.register_step_pre_hook(lambda *_: meter.begin(TEMPORARIES))
        optimizer.register_step_post_hook(lambda *_: meter.end())
    batch = trainer.feed.batch

    def marked(rows: Int64s) -> Batch:
        meter.begin(BATCH)
        made = batch(rows)
        meter.end()
        return made

    trainer.feed.batch = marked  # type: ignore[method-assign]


def _name(meter: Rehearsal, part: str, gradient: Tensor) -> None:
    meter.name(gradient, part)


def _read(value: Tensor) -> bool | int | float:
    """What is read of a tensor without values: no mask is all ones, no step is the 0th."""
    if value.dtype == torch.bool:
        return False
    return 0.0 if value.is_floating_point() else 1


@contextmanager
def _kernels_that_allocate_nothing(device: str) -> Iterator[None]:
    """Optimizers' kernels that update in place, which know no device "meta"."""
    replaced = [(import_module("torch.optim.adam"), "_device_dtype_check_for_fused", lambda *_, **__: None)]
    if device == "cuda":  # there it is a Triton kernel
        replaced.append((import_module("optimi.adam"), "_single_param_adam", lambda *_, **__: None))
    before = [getattr(module, name) for module, name, _ in replaced]
    for module, name, function in replaced:
        setattr(module, name, function)
    try:
        yield
    finally:
        for (module, name, _), function in zip(replaced, before, strict=True):
            setattr(module, name, function)
