"""The fused classifier step on a CPU, compiled by numba: one pass over the labels.

A label's scores, their gradient, its dW and its new weights live in the first-level cache between reading its
weights and writing them; dX gathers in a buffer a slice of labels, summed in order at the end. See
`ops/cpu/ffi.py` for the products and the layout.

B rows, D features, L labels, K fan-in, P panels.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xmcpipe.ops.cpu.ffi import row_gradients, row_scores
from xmcpipe.ops.cpu.losses import ZERO, losses_row, row_total
from xmcpipe.ops.cpu.panels import Features, Index, Layer, Panels, Width, array, borrowed_layer, layer_of
from xmcpipe.ops.cpu.rounding import (
    FLOAT32,
    Floats,
    Randoms,
    decode,
    nearest_row,
    random_row,
    round_row,
)
from xmcpipe.ops.cpu.simd import LANES, borrowed, compiled, store
from xmcpipe.ops.cpu.threads import over_slices
from xmcpipe.ops.losses import Loss
from xmcpipe.ops.rounding import STREAM_ROUNDING
from xmcpipe.ops.step_torch import Update

Rows = NDArray[np.int64]


class Positives(NamedTuple):
    """The (row, label) pairs, by label."""

    rows: Rows
    labels: Rows


class Numbers(NamedTuple):
    """What an update is made with; `ops/step_torch.py` says what they are."""

    scale: np.float32
    rate: np.float32
    weight_decay: np.float32
    momentum_factor: np.float32
    key: np.uint64
    stream: np.uint64
    first_label: int


class Room(NamedTuple):
    """What a label is worked on in: float32 [K] each, uint32 [K and some], float32 [P * W] each.

    Arrays of their own: rows of one array LLVM would have to take for overlapping.
    """

    weight: Floats
    grad: Floats
    momentum: Floats
    random: Randoms
    scores: Floats
    losses: Floats


def room_for(fan_in: int, padded_rows: int) -> Room:
    """Memory that no other thread works in."""
    weight, grad, momentum = (np.empty(fan_in, np.float32) for _ in range(3))
    scores, losses = (np.zeros(padded_rows, np.float32) for _ in range(2))
    return Room(weight, grad, momentum, np.empty(-(-fan_in // 8) * 8, np.uint32), scores, losses)


@compiled
def borrowed_room(room: Room) -> Room:
    """The room, its arrays `borrowed`."""
    return Room(
        borrowed(room.weight),
        borrowed(room.grad),
        borrowed(room.momentum),
        borrowed(room.random),
        borrowed(room.scores),
        borrowed(room.losses),
    )


@compiled
def update_row(layer: Layer, label: int, room: Room, numbers: Numbers) -> None:
    """SGD as torch.optim's: the label's new weights, from its old ones and its unscaled dW."""
    weight_K, grad_K, momentum_K = room.weight, room.grad, room.momentum
    fan_in = len(weight_K)
    for k in range(fan_in):
        grad_K[k] = numbers.scale * grad_K[k] + numbers.weight_decay * weight_K[k]
    if layer.momentum.size:
        decode(layer.momentum[label], layer.momentum_kind, momentum_K)
        for k in range(fan_in):
            grad_K[k] += numbers.momentum_factor * momentum_K[k]
        nearest_row(grad_K, layer.momentum_kind, layer.momentum[label])
    for k in range(fan_in):
        weight_K[k] -= numbers.rate * grad_K[k]
    if layer.kind != FLOAT32:
        random_row(numbers.key, numbers.stream, np.uint64(numbers.first_label + label), room.random)
    round_row(weight_K, room.random, layer.kind, layer.weight[label])


@compiled
def score_row(x: Features, layer: Layer, label: int, room: Room, width: Width) -> None:
    """The label's scores of all panels, and its weights as float32, into the room."""
    lanes = LANES * len(width)
    panels = len(room.scores) // lanes
    num_features = x.size // len(room.scores)
    decode(layer.weight[label], layer.kind, room.weight)
    bias = layer.bias[label] if layer.bias.size else ZERO
    for panel in range(panels):
        scores = row_scores(x, panel * num_features, bias, room.weight, layer.indices[label], width)
        store(room.scores, panel * lanes, scores)


@compiled
def gradient_row(x: Features, dx: Floats, index_K: Index, room: Room, width: Width) -> None:
    """From the gradient of the label's scores: its dW, and its share of dX."""
    lanes = LANES * len(width)
    panels = len(room.scores) // lanes
    num_features = x.size // len(room.scores)
    room.grad[:] = ZERO
    for panel in range(panels):
        base, offset = panel * num_features, panel * lanes
        row_gradients(x, dx, base, room.scores, offset, room.weight, index_K, room.grad, width)


@compiled
def step_slice(
    x: Features,
    layer: Layer,
    positives: Positives,
    hinge: bool,
    numbers: Numbers,
    dx: Floats,
    num_rows: int,
    room: Room,
    begin: int,
    end: int,
    width: Width,
) -> float:
    """The step of labels [begin, end): updates them, adds their shares to `dx`, returns the sum of losses."""
    x, layer, dx, room = borrowed(x), borrowed_layer(layer), borrowed(dx), borrowed_room(room)
    rows_P, labels_P = borrowed(positives.rows), borrowed(positives.labels)
    loss_sum, first = 0.0, np.searchsorted(labels_P, begin)
    for label in range(begin, end):
        score_row(x, layer, label, room, width)
        last = first
        while last < len(labels_P) and labels_P[last] == label:
            last += 1
        loss_sum += losses_row(room.scores, num_rows, rows_P[first:last], hinge, room.losses, width)
        first = last
        gradient_row(x, dx, layer.indices[label], room, width)
        if layer.bias.size:
            layer.bias[label] -= numbers.rate * numbers.scale * row_total(room.scores, width)
        update_row(layer, label, room, numbers)
    return loss_sum


def step_(
    features_BD: Tensor,
    weight_LK: Tensor,
    index_LK: Tensor,
    bias_L: Tensor | None,
    momentum_LK: Tensor | None,
    positives: tuple[Tensor, Tensor],
    loss: Loss,
    update: Update,
) -> tuple[Tensor, Tensor]:
    """As `step_torch.step_`. Raises ValueError for positives out of place, which would be written there."""
    _check_positives(*positives, len(features_BD), len(weight_LK))
    panels, layer = Panels(*features_BD.shape), layer_of(weight_LK, index_LK, bias_L, momentum_LK)
    pairs = Positives(array(positives[0]), array(positives[1]))
    numbers = Numbers(
        scale=np.float32(update.scale.item()),
        rate=np.float32(update.rate.item()),
        weight_decay=np.float32(update.weight_decay),
        momentum_factor=np.float32(update.momentum_factor),
        key=np.uint64(update.seed & (2**64 - 1)),
        stream=np.uint64(STREAM_ROUNDING + int(update.step)),
        first_label=update.first_label,
    )
    x, width, num_rows, hinge = panels.of(features_BD), panels.width, panels.num_rows, loss == "squared_hinge"
    parts, partials = panels.partials(len(weight_LK))
    dx = array(partials)

    def run(number: int, begin: int, end: int) -> float:
        room = room_for(weight_LK.shape[1], panels.padded_rows)
        return step_slice(x, layer, pairs, hinge, numbers, dx[number], num_rows, room, begin, end, width)

    sums = over_slices(run, parts)
    return torch.tensor(sum(sums), dtype=torch.float32), panels.total(partials)


def _check_positives(rows_P: Tensor, labels_P: Tensor, num_rows: int, num_labels: int) -> None:
    if len(rows_P) == 0:
        return
    low, high = torch.aminmax(rows_P)
    if low < 0 or high >= num_rows:
        raise ValueError(f"rows of positives from 0 to {num_rows - 1} are wanted, got {low} to {high}")
    if labels_P[0] < 0 or labels_P[-1] >= num_labels or bool((labels_P[1:] < labels_P[:-1]).any()):
        raise ValueError(f"labels of positives ascending from 0 to {num_labels - 1} are wanted")
