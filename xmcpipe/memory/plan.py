"""Predicts the memory of a training, by part, and a lower bound on the time of a classifier step.

The bytes are counted, not estimated: see `rehearsal`. Parts are reported at the step's peak, so that they sum
to it. The lower bound, called floor, counts the bytes that must move between memory and processor: every
tensor of the layer is read once, and written once if the step changes it.

B rows, D features, L labels, K weights per label (the fan-in of a sparse head).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from xmcpipe.memory.parts import KEPT, LABEL_FACTS
from xmcpipe.memory.predicted import Floor, Plan
from xmcpipe.memory.rehearsal import Rehearsal, rehearse
from xmcpipe.memory.shape import BatchShape
from xmcpipe.memory.workspace import (
    frequent_growth_bytes,
    growth_bytes,
    rewiring_bytes,
    word_growth_bytes,
)
from xmcpipe.modeling.head_table import HEADS
from xmcpipe.modeling.heads import Head
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.head_config import HeadConfig

REWIRING = "rewiring"
FEATURES = "features of documents"  # for growth by documents: a file, mapped into memory
PAIRS = "labels of documents"  # for the same
WORDS = "words of documents"  # for the same, of a head that reads words
PLACES = "places of labels"  # in the head, of labels that form groups
PLACE_BYTES = 4
WORD_BYTES = 2 + 4  # its number and its weight
KEPT_PAIR_BYTES = 4 + 4  # row and label of a positive that a ring keeps
DOCUMENT_PAIR_BYTES = 4 + 4  # document and label
# Bytes per document on the host: offsets and lengths of its tokens and labels, and its position in an epoch.
DOCUMENT_BYTES = 64
LABEL_BYTES = 8 + 8  # bytes per label on the host of a GPU: its number of documents, and its cluster


def plan(
    config: TrainConfig, make_encoder: Callable[[], Any], shape: BatchShape, device: str, documents: int = 0
) -> Plan:
    """The plan of `config` on `device`, "cpu" or "cuda", for batches of `shape` of this number of documents.

    `make_encoder` returns the encoder in float32, on the default device at the time of the call. Raises
    XmcpipeError for K > D.
    """
    rehearsal = rehearse(config, make_encoder, shape, device)
    parts, peaks, head = rehearsal.parts_at_peak, dict(rehearsal.part_peaks), rehearsal.head
    between_steps = dict(rehearsal.between_steps)
    if KEPT in peaks:
        pairs = KEPT_PAIR_BYTES * config.rewire.window * shape.positives
        for counted in (parts, peaks, between_steps):
            counted[KEPT] += pairs
    if config.rewire.interval and head.rewires:
        # A rewiring runs between two steps, so the peak is that of a step or that of a rewiring.
        peaks[REWIRING] = _rewiring(config, shape, head, device, documents)
        if sum(between_steps.values()) + peaks[REWIRING] > sum(parts.values()):
            parts = {**between_steps, REWIRING: peaks[REWIRING]}
    host = _host_bytes(rehearsal, sum(parts.values()), shape, documents)
    if config.rewire.interval and (config.rewire.growth == "documents" or config.chooses_words_again):
        host[FEATURES] = 2 * documents * _num_features(config, head)
        host[PAIRS] = DOCUMENT_PAIR_BYTES * _pairs(shape, documents)
        if shape.terms:
            host[WORDS] = round(WORD_BYTES * documents * shape.terms)
    return Plan(
        config.memory, device, parts, peaks, host, floor(config, shape, rehearsal.head), rehearsal.flops
    )


def _num_features(config: TrainConfig, head: Head) -> int:
    """The number of features D; `head` chooses from half of them if frequent labels have their own half."""
    return head.shape.in_features * (2 if config.head.features_apart else 1)


def _rewiring(config: TrainConfig, shape: BatchShape, head: Head, device: str, documents: int) -> int:
    """Workspace of a rewiring in bytes."""
    in_features, fan_in = head.shape.in_features, head.shape.fan_in
    # Torch rewires on any device row by row, and by gradient.
    where = "cpu" if config.rewire.prune == "row" else device
    size = rewiring_bytes(where, shape.labels, in_features, fan_in, head.shape.group)
    if config.chooses_words_again:
        size = max(size, word_growth_bytes(head.shape, _pairs(shape, documents)))
        if frequent := config.head.frequent_labels:
            size = max(size, frequent_growth_bytes(frequent, documents * shape.terms))
    if config.rewire.growth == "random":
        return size
    pairs = config.rewire.window * shape.positives
    if config.rewire.growth == "documents":
        pairs = max(pairs, _pairs(shape, documents))
    return max(size, growth_bytes(shape.labels, in_features, pairs))


def _pairs(shape: BatchShape, documents: int) -> int:
    """Number of positive pairs of all documents, if they have as many as those of a batch."""
    return round(documents * shape.positives / shape.rows)


def _host_bytes(rehearsal: Rehearsal, total: int, shape: BatchShape, documents: int) -> dict[str, int]:
    """Bytes on the host by part: on a CPU all tensors, with a GPU the loaded encoder and label facts."""
    host = {"documents": DOCUMENT_BYTES * documents}
    if rehearsal.head.shape.group > 1:
        host[PLACES] = PLACE_BYTES * shape.labels
    if rehearsal.device == "cpu":
        return {"tensors": total, **host}
    facts = LABEL_BYTES if shape.clusters else LABEL_BYTES // 2
    return {
        "encoder as it is loaded": rehearsal.encoder_values * 4,
        LABEL_FACTS: facts * shape.labels,
        **host,
    }


def floor(config: TrainConfig, shape: BatchShape, head: Head) -> Floor:
    """The floor of a step of `head` under its optimizer."""
    value = head.weight.element_size()
    moments = {"adamw": 2, "adam": 2, "sgd": 1 if config.head.momentum else 0}[config.head.optimizer]
    wide = config.head.frequent_labels
    connections = head.weight.numel() + wide * head.shape.in_features
    bias = 8 * (shape.labels + wide) if config.head.bias else 0  # float32, read and written
    # The features are read in the weights' dtype, and their gradient is written in float32.
    features = shape.rows * _num_features(config, head) * (value + 4)
    # A word is read by index alone, unless the batch has it.
    words = 0
    if config.head.word_fan_in:
        words = 2 * (shape.labels * config.head.word_fan_in + wide * config.head.frequent_word_fan_in)
    indices = head.index_bytes * (head.index.numel() if head.is_sparse else 0)
    if head.shape.group == 1:  # that of frequent labels in groups is next to nothing
        indices += head.index_bytes * wide * head.shape.in_features
    # A mean is float32, read and written, and its weight is read once more.
    means = connections * (value + 8) if config.average != "none" else 0
    moved_bytes = means + words + connections * 2 * value * (1 + moments) + indices + bias + features
    flops = 6 * shape.rows  # scores, dX, dW: one multiplication and one addition each
    dense = (shape.labels + wide) * head.shape.in_features
    return Floor(moved_bytes, flops * connections, flops * dense)


def other_memory(config: TrainConfig) -> TrainConfig | None:
    """The same training with the other `memory` and the settings it requires; None if the head has none."""
    head, encoder = config.head, config.encoder
    if config.memory == "light":
        head = replace(head, optimizer="adamw", weight_dtype="precision")
        return replace(config, memory="paper", head=head)
    if not HEADS[head.kind].updates_in_place:
        return None
    return replace(
        config,
        memory="light",
        accumulation=1,
        average="none",
        precision="bfloat16" if config.precision == "float16" else config.precision,
        head=replace(head, optimizer="sgd", momentum=_light_momentum(head)),
        encoder=replace(encoder, optimizer="adamw", max_grad_norm=0.0),
    )


def _light_momentum(head: HeadConfig) -> float:
    return head.momentum if head.optimizer == "sgd" else 0.0
