"""How much memory a training will need, by part, and how fast a step of its classifier can be at best.

The bytes are counted, not guessed: see `plan_rehearsal`. What is told is the moment at which all parts
together are the most, so that they add up. The floor is what must move between memory and processor: every
tensor of the layer read once, and written once where the step changes it.

B rows, D features, L labels, K fan-in (or features that a label of another head reads).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from xmcpipe.memory.parts import LABEL_FACTS
from xmcpipe.memory.rehearsal import Rehearsal, rehearse
from xmcpipe.memory.shape import StepShape
from xmcpipe.memory.workspace import rewiring_bytes
from xmcpipe.modeling.heads import DTYPES
from xmcpipe.training.config import HeadConfig, TrainConfig

REWIRING = "rewiring"
INDEX_BYTES = 2
# Of a document on the host: where its tokens and labels begin, how many they are, and its place in an epoch.
DOCUMENT_BYTES = 64
LABEL_BYTES = 8 + 8  # on the host beside a GPU: its number of documents, its cluster


@dataclass(frozen=True)
class Floor:
    """Of a classifier step: bytes that must move; operations, of the connections alone and as dense tiles."""

    bytes: int
    flops: int
    dense_flops: int

    def seconds(self, bytes_per_second: float) -> float:
        """The least that a step takes where memory moves so much."""
        return self.bytes / bytes_per_second


@dataclass(frozen=True)
class Plan:
    """What is predicted of a training.

    `parts`: bytes on the device when they are the most together, `most`: when each is the most by itself.
    `host`: bytes beside what any process has resident. `encoder_flops`: operations of a step but for those of
    the classifier, activations that are computed again counted again.
    """

    memory: str
    device: str
    parts: dict[str, int]
    most: dict[str, int]
    host: dict[str, int]
    floor: Floor
    encoder_flops: int

    @property
    def total(self) -> int:
        """Peak bytes on the device."""
        return sum(self.parts.values())

    def seconds(self, bytes_per_second: float, flops_per_second: float) -> float:
        """The least that a step takes where memory moves and the encoder computes so much."""
        return self.floor.seconds(bytes_per_second) + self.encoder_flops / flops_per_second


def plan(
    config: TrainConfig, make_encoder: Callable[[], Any], shape: StepShape, device: str, documents: int = 0
) -> Plan:
    """The plan of `config` on `device`, "cpu" or "cuda", of batches of `shape` from so many documents.

    `make_encoder` returns the encoder in float32, on what is the default device when it is called. Raises
    XmcpipeError for K > D.
    """
    meter = rehearse(config, make_encoder, shape, device)
    parts, most = meter.at_peak(), meter.most()
    if config.rewire.interval and config.head.kind == "ffi":
        most[REWIRING] = rewiring_bytes(device, shape.labels, meter.in_features, config.head.fan_in)
        if sum(meter.rest.values()) + most[REWIRING] > meter.peak:
            parts = {**meter.rest, REWIRING: most[REWIRING]}
    host = _host_bytes(meter, sum(parts.values()), shape, documents)
    return Plan(config.memory, device, parts, most, host, floor(config, shape, meter), meter.flops)


def _host_bytes(meter: Rehearsal, total: int, shape: StepShape, documents: int) -> dict[str, int]:
    """On a CPU the tensors are on the host; beside a GPU what they are made of is."""
    host = {"documents": DOCUMENT_BYTES * documents}
    if meter.device == "cpu":
        return {"tensors": total, **host}
    facts = LABEL_BYTES if shape.clusters else LABEL_BYTES // 2
    return {"encoder as it is loaded": meter.encoder_values * 4, LABEL_FACTS: facts * shape.labels, **host}


def floor(config: TrainConfig, shape: StepShape, meter: Rehearsal) -> Floor:
    """The floor of a step of the head."""
    value = DTYPES[config.precision if config.memory == "light" else "float32"].itemsize
    moments = {"adamw": 2, "adam": 2, "sgd": 1 if config.head.momentum else 0}[config.head.optimizer]
    index = INDEX_BYTES if config.head.kind == "ffi" else 0
    connections = shape.labels * meter.head_width
    bias = 8 * shape.labels if config.head.bias else 0
    features = shape.rows * meter.in_features * (value + 4)
    moved = connections * (2 * value * (1 + moments) + index) + bias + features
    flops = 6 * shape.rows  # scores, dX, dW: a product and a sum each
    return Floor(moved, flops * connections, flops * shape.labels * meter.in_features)


def other_memory(config: TrainConfig) -> TrainConfig | None:
    """The same training with the other `memory`, and what that wants beside it; None where there is none."""
    head, encoder = config.head, config.encoder
    if config.memory == "light":
        return replace(config, memory="paper", head=replace(head, optimizer="adamw"))
    if head.kind != "ffi":
        return None
    return replace(
        config,
        memory="light",
        accumulation=1,
        precision="bfloat16" if config.precision == "float16" else config.precision,
        head=replace(head, optimizer="sgd", momentum=_light_momentum(head)),
        encoder=replace(encoder, optimizer="adamw", max_grad_norm=0.0),
    )


def _light_momentum(head: HeadConfig) -> float:
    return head.momentum if head.optimizer == "sgd" else 0.0
