"""The fused classifier step on a CPU for groups of labels that read the same features; see `groups`.

As in `ops/cpu/step.py`, everything of a group happens between the read of its weights and their write:
scores, losses, dX, dW and the update.

B rows, D features, L labels, G labels of a group, K fan-in, P panels, W rows of a panel.
"""

from typing import NamedTuple

import numpy as np
from torch import Tensor

from xmcpipe.ops.cpu.arrays import Features, LayerArrays, Width, arrays_of, unowned_layer
from xmcpipe.ops.cpu.groups import (
    GroupBuffers,
    Sizes,
    Target,
    add_grad_features,
    add_grad_weight,
    add_scores,
    decode_group,
    gather_columns,
    group_buffers,
    sizes_of,
    unowned_group,
)
from xmcpipe.ops.cpu.losses import ZERO
from xmcpipe.ops.cpu.panels import Panels
from xmcpipe.ops.cpu.simd.compiling import compiled, inlined
from xmcpipe.ops.cpu.step import (
    Constants,
    LabelBuffers,
    RowBatch,
    constants_of,
    label_buffers,
    lose,
    no_words,
    step_by_slices,
    unowned_batch,
    unowned_buffers,
    update_row,
)
from xmcpipe.ops.layer import Positives, SparseLayer, Update
from xmcpipe.ops.word_layer import Words


class StepBuffers(NamedTuple):
    """Workspace of a group, and of the label of it that is at work."""

    group: GroupBuffers
    label: LabelBuffers


@inlined
def buffers_of(buffers: StepBuffers, number: int, sizes: Sizes) -> LabelBuffers:
    """The buffers of label `number` of the group: its weights, their gradient and its scores are views."""
    group, label = buffers
    begin = number * sizes.padded_fan_in
    return LabelBuffers(
        group.weight[begin:][: sizes.fan_in],
        group.grad[begin:][: sizes.fan_in],
        label.momentum,
        label.random,
        group.scores[number * sizes.padded_rows :][: sizes.padded_rows],
        label.losses,
        label.words,
    )


@inlined
def score_group(
    x: Features, layer: LayerArrays, first: int, count: int, sizes: Sizes, buffers: GroupBuffers, width: Width
) -> None:
    """Write the scores of `count` labels of a group, and their weights as float32, to the buffers."""
    decode_group(layer, first, count, sizes, buffers.weight)
    for number in range(sizes.padded_group):
        has_bias = number < count and layer.bias.size > 0
        bias = layer.bias[first + number] if has_bias else ZERO
        buffers.scores[number * sizes.padded_rows :][: sizes.padded_rows] = bias
    add_scores(x, layer.indices[first // sizes.group], buffers, sizes, 0, width)


@compiled
def step_slice(
    batch: RowBatch,
    layer: LayerArrays,
    numbers: Constants,
    buffers: StepBuffers,
    sizes: Sizes,
    begin: int,
    end: int,
    width: Width,
) -> float:
    """Update labels [begin, end), add their contributions to dX, return the sum of their losses."""
    batch, layer = unowned_batch(batch), unowned_layer(layer)
    buffers = StepBuffers(unowned_group(buffers.group), unowned_buffers(buffers.label))
    group = buffers.group
    loss_sum, positive = 0.0, int(np.searchsorted(batch.positive_labels, begin))
    for first in range(begin, end, sizes.group):
        count = min(sizes.group, end - first)
        score_group(batch.panels.x, layer, first, count, sizes, group, width)
        for number in range(count):
            of_label = buffers_of(buffers, number, sizes)
            loss, positive = lose(batch, layer, numbers, first + number, positive, of_label, width)
            loss_sum += loss
        group.grad[:] = ZERO
        index_K = layer.indices[first // sizes.group]
        if sizes.pairs:  # the columns are words of pairs
            gather_columns(batch.panels.x, index_K, sizes, group.columns, width)
        add_grad_weight(group, sizes, 0, width)
        target = Target(batch.panels.dx, index_K)
        add_grad_features(target, group, sizes, 0, count, width)
        for number in range(count):
            update_row(layer, first + number, buffers_of(buffers, number, sizes), numbers)
    return loss_sum


def step_(
    features_BD: Tensor, layer: SparseLayer, positives: Positives, loss: str, update: Update, words: Words
) -> tuple[Tensor, Tensor]:
    """See `ops.step.Step`. Raises ValueError for positives out of range."""
    panels, arrays, numbers = Panels(*features_BD.shape), arrays_of(layer), constants_of(loss, update)
    sizes, words = (
        sizes_of(layer, panels, features_BD.dtype),
        words or no_words(layer, len(features_BD), update),
    )

    def run(batch: RowBatch, begin: int, end: int) -> float:
        of_label = label_buffers(layer.fan_in, panels.padded_rows, words.layer)
        buffers = StepBuffers(group_buffers(sizes, panels), of_label)
        return step_slice(batch, arrays, numbers, buffers, sizes, begin, end, panels.width)

    return step_by_slices(features_BD, layer, positives, words, run)
