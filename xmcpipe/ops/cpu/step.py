"""The fused classifier step on a CPU, compiled by numba: one pass over the labels.

Between the read of a label's weights and their write, its scores, their gradient, its dW and its new weights
stay in the first-level cache. Each slice of labels adds to its own partial dX; these are summed in order at
the end. See `ops/cpu/ffi.py` for the products and the layout.

B rows, D features, L labels, K fan-in, P panels, W rows of a panel.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xmcpipe.ops.cpu.arrays import Features, Index, LayerArrays, Width, array, arrays_of, unowned_layer
from xmcpipe.ops.cpu.ffi import PanelPair, row_gradients, row_scores
from xmcpipe.ops.cpu.losses import ZERO, code_of, label_losses, vector_sum
from xmcpipe.ops.cpu.panels import Panels
from xmcpipe.ops.cpu.rounding import FLOAT32, Floats, Randoms, decode, nearest_row, random_row, round_row
from xmcpipe.ops.cpu.simd.compiling import compiled, inlined
from xmcpipe.ops.cpu.simd.vectors import LANES, store, unowned
from xmcpipe.ops.cpu.threads import over_slices
from xmcpipe.ops.cpu.words import (
    WordArrays,
    WordBuffers,
    add_word_scores,
    find_active,
    unowned_word_buffers,
    unowned_words,
    update_words,
    word_arrays,
    word_buffers,
)
from xmcpipe.ops.layer import Positives, SparseLayer, Update
from xmcpipe.ops.rounding import STREAM_ROUNDING
from xmcpipe.ops.topology import INDEX_DTYPE
from xmcpipe.ops.word_layer import MAX_WORDS, BatchWords, StepWords, WordLayer, Words


class RowBatch(NamedTuple):
    """What a slice reads of the batch, and the dX that it adds to.

    The positives are sorted by label. `num_rows` is B, without the padding of the panels.
    """

    panels: PanelPair
    num_rows: int
    positive_rows: NDArray[np.int64]
    positive_labels: NDArray[np.int64]
    words: WordArrays


class Constants(NamedTuple):
    """The numbers of a step; `ops.layer.Update` defines them. `loss` is one of `losses.CODES`."""

    loss: int
    scale: np.float32
    rate: np.float32
    weight_decay: np.float32
    momentum_factor: np.float32
    key: np.uint64
    stream: np.uint64
    first_label: int


class LabelBuffers(NamedTuple):
    """Workspace of one label.

    `weight`, `grad` and `momentum` are float32 [K]; `random` uint32 [K rounded up to 8]; `scores` and
    `losses` float32 [P * W]. They are separate arrays, since LLVM would have to assume that rows of one array
    overlap.
    """

    weight: Floats
    grad: Floats
    momentum: Floats
    random: Randoms
    scores: Floats
    losses: Floats
    words: WordBuffers


def label_buffers(fan_in: int, padded_rows: int, words: WordLayer) -> LabelBuffers:
    """New buffers; each thread needs its own."""
    weight, grad, momentum = (np.empty(fan_in, np.float32) for _ in range(3))
    scores, losses = (np.zeros(padded_rows, np.float32) for _ in range(2))
    random = np.empty(-(-fan_in // 8) * 8, np.uint32)
    return LabelBuffers(weight, grad, momentum, random, scores, losses, word_buffers(words))


@compiled
def unowned_buffers(buffers: LabelBuffers) -> LabelBuffers:
    """The buffers with each array `unowned`."""
    return LabelBuffers(
        unowned(buffers.weight),
        unowned(buffers.grad),
        unowned(buffers.momentum),
        unowned(buffers.random),
        unowned(buffers.scores),
        unowned(buffers.losses),
        unowned_word_buffers(buffers.words),
    )


@inlined
def update_row(layer: LayerArrays, label: int, buffers: LabelBuffers, numbers: Constants) -> None:
    """Update a label's weights as torch.optim.SGD does, from its old weights and its unscaled dW."""
    weight_K, grad_K, momentum_K = buffers.weight, buffers.grad, buffers.momentum
    fan_in = len(weight_K)
    for k in range(fan_in):
        grad_K[k] = numbers.scale * grad_K[k] + numbers.weight_decay * weight_K[k]
    if layer.momentum.size:
        decode(layer.momentum[label], layer.momentum_kind, momentum_K)
        for k in range(fan_in):
            grad_K[k] += numbers.momentum_factor * momentum_K[k]
        # Momentum is rounded to nearest; the weight uses it unrounded, as on other devices.
        nearest_row(grad_K, layer.momentum_kind, layer.momentum[label])
    for k in range(fan_in):
        weight_K[k] -= numbers.rate * grad_K[k]
    if layer.kind != FLOAT32:
        random_row(numbers.key, numbers.stream, np.uint64(numbers.first_label + label), buffers.random)
    round_row(weight_K, buffers.random, layer.kind, layer.weight[label])


@compiled
def score_row(x: Features, layer: LayerArrays, label: int, buffers: LabelBuffers, width: Width) -> None:
    """Write the label's scores of all panels, and its weights as float32, to the buffers."""
    lanes = LANES * len(width)
    panels = len(buffers.scores) // lanes
    num_features = x.size // len(buffers.scores)
    decode(layer.weight[label], layer.kind, buffers.weight)
    bias = layer.bias[label] if layer.bias.size else ZERO
    for panel in range(panels):
        scores = row_scores(x, panel * num_features, bias, buffers.weight, layer.indices[label], width)
        store(buffers.scores, panel * lanes, scores)


@compiled
def gradient_row(pair: PanelPair, index_K: Index, buffers: LabelBuffers, width: Width) -> None:
    """Write a label's dW to the buffers, and add its contribution to dX; `scores` holds its gradient."""
    lanes, grad = LANES * len(width), buffers.scores
    num_features = pair.x.size // len(grad)
    buffers.grad[:] = ZERO
    for panel in range(len(grad) // lanes):
        base, offset = panel * num_features, panel * lanes
        row_gradients(pair, base, grad, offset, buffers.weight, index_K, buffers.grad, width)


@compiled
def unowned_batch(batch: RowBatch) -> RowBatch:
    """The batch with each array `unowned`."""
    return RowBatch(
        PanelPair(unowned(batch.panels.x), unowned(batch.panels.dx)),
        batch.num_rows,
        unowned(batch.positive_rows),
        unowned(batch.positive_labels),
        unowned_words(batch.words),
    )


@inlined
def lose(
    batch: RowBatch,
    layer: LayerArrays,
    numbers: Constants,
    label: int,
    first: int,
    buffers: LabelBuffers,
    width: Width,
) -> tuple[float, int]:
    """Add the words to the scores of a label, turn them into their gradient, update words and bias.

    Returns the label's loss, and the number of its last positive, plus 1; `first` is that of its first one,
    or of a label after it.
    """
    words, rows_P, labels_P = batch.words, batch.positive_rows, batch.positive_labels
    active = find_active(words, label, len(buffers.scores), buffers.words)
    add_word_scores(words, active, buffers.words, buffers.scores, width)
    # Positives are sorted by label: those of this label are [first, last).
    last = first
    while last < len(labels_P) and labels_P[last] == label:
        last += 1
    rows = rows_P[first:last]
    # From here on the buffer of scores holds their gradient.
    loss = label_losses(buffers.scores, batch.num_rows, rows, numbers.loss, buffers.losses, width)
    update_words(words, label, active, buffers.words, buffers.scores, width)
    if layer.bias.size:
        layer.bias[label] -= numbers.rate * numbers.scale * vector_sum(buffers.scores, width)
    return loss, last


@compiled
def step_slice(
    batch: RowBatch,
    layer: LayerArrays,
    numbers: Constants,
    buffers: LabelBuffers,
    begin: int,
    end: int,
    width: Width,
) -> float:
    """Update labels [begin, end), add their contributions to dX, return the sum of their losses."""
    batch, layer, buffers = unowned_batch(batch), unowned_layer(layer), unowned_buffers(buffers)
    loss_sum, first = 0.0, int(np.searchsorted(batch.positive_labels, begin))
    for label in range(begin, end):
        score_row(batch.panels.x, layer, label, buffers, width)
        loss, first = lose(batch, layer, numbers, label, first, buffers, width)
        loss_sum += loss
        gradient_row(batch.panels, layer.indices[label], buffers, width)
        update_row(layer, label, buffers, numbers)
    return loss_sum


def constants_of(loss: str, update: Update) -> Constants:
    """The numbers of a step, in the types of the compiled functions.

    Raises XmcpipeError for a loss that they don't have.
    """
    return Constants(
        loss=code_of(loss),
        scale=np.float32(update.scale.item()),
        rate=np.float32(update.rate.item()),
        weight_decay=np.float32(update.weight_decay),
        momentum_factor=np.float32(update.momentum_factor),
        key=np.uint64(update.seed & (2**64 - 1)),  # a negative seed has the same 64 bits as in CUDA
        stream=np.uint64(STREAM_ROUNDING + int(update.step)),
        first_label=update.first_label,
    )


def step_(
    features_BD: Tensor, layer: SparseLayer, positives: Positives, loss: str, update: Update, words: Words
) -> tuple[Tensor, Tensor]:
    """See `ops.step.Step`. Raises ValueError for positives out of range: they would write out of bounds."""
    panels, arrays, numbers = Panels(*features_BD.shape), arrays_of(layer), constants_of(loss, update)
    words = words or no_words(layer, len(features_BD), update)

    def run(batch: RowBatch, begin: int, end: int) -> float:
        buffers = label_buffers(layer.fan_in, panels.padded_rows, words.layer)
        return step_slice(batch, arrays, numbers, buffers, begin, end, panels.width)

    return step_by_slices(features_BD, layer, positives, words, run)


def step_by_slices(
    features_BD: Tensor,
    layer: SparseLayer,
    positives: Positives,
    words: StepWords,
    run: Callable[[RowBatch, int, int], float],
) -> tuple[Tensor, Tensor]:
    """The loss sum and dX [B, D] of a step that `run` takes with the labels [begin, end) of each slice.

    Raises ValueError for positives out of range.
    """
    _check_positives(positives, len(features_BD), layer.num_labels)
    panels = Panels(*features_BD.shape)
    pairs, x = (array(positives.rows), array(positives.labels)), panels.of(features_BD)
    parts, partials = panels.partials(layer.num_labels, layer.group)
    of_words = word_arrays(words.batch, words.layer, panels.padded_rows, words.update)
    dx = array(partials)  # a row for each slice, so that no two threads write to the same memory

    def of_slice(number: int, begin: int, end: int) -> float:
        return run(RowBatch(PanelPair(x, dx[number]), panels.num_rows, *pairs, of_words), begin, end)

    # Added in the order of the slices, so that the bits don't depend on the number of threads.
    sums = over_slices(of_slice, parts)
    return torch.tensor(sum(sums), dtype=torch.float32), panels.total(partials)


def no_words(layer: SparseLayer, num_rows: int, update: Update) -> StepWords:
    """A layer that reads no words: K' = 0 and U = 0, so that one compiled step serves both kinds."""
    weight = torch.empty(layer.num_labels, 0)
    place = torch.full((MAX_WORDS + 1,), -1, dtype=torch.int32)
    no_words = WordLayer(weight, weight.to(torch.int32).to(INDEX_DTYPE))
    return StepWords.of(BatchWords(place, torch.empty(0, num_rows)), no_words, torch.empty(0), update)


def _check_positives(positives: Positives, num_rows: int, num_labels: int) -> None:
    """Raise ValueError for rows out of range, and labels out of range or order."""
    rows_P, labels_P = positives
    if len(rows_P) == 0:
        return
    low, high = torch.aminmax(rows_P)
    if low < 0 or high >= num_rows:
        raise ValueError(f"expected rows of positives from 0 to {num_rows - 1}, got {low} to {high}")
    if labels_P[0] < 0 or labels_P[-1] >= num_labels or bool((labels_P[1:] < labels_P[:-1]).any()):
        raise ValueError(f"expected ascending labels of positives from 0 to {num_labels - 1}")
