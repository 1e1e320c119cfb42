"""The fixed fan-in products on a CPU for groups of labels that read the same features; see `groups`.

A slice of labels begins with a whole group. Scores, and gradients of scores, are transposed for a block of
groups at a time, between label-major and row-major.

B rows, D features, L labels, G labels of a group, R groups, K fan-in.
"""

from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from xmcpipe.ops.cpu.arrays import Features, LayerArrays, Width, array, arrays_of, unowned_layer
from xmcpipe.ops.cpu.ffi import FEW_ROWS, ZERO, put_scores, take_gradients
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
from xmcpipe.ops.cpu.panels import Panels
from xmcpipe.ops.cpu.rounding import Floats, copy, decode
from xmcpipe.ops.cpu.simd.compiling import compiled, compiled_reassociating
from xmcpipe.ops.cpu.simd.transposes import BLOCK
from xmcpipe.ops.cpu.simd.vectors import unowned
from xmcpipe.ops.cpu.threads import over_slices, slices
from xmcpipe.ops.layer import SparseLayer


class Slice(NamedTuple):
    """The labels [begin, end) that a call computes, with the sizes of their groups, and of a block."""

    begin: int
    end: int
    sizes: Sizes
    block: int


def slice_of(layer: SparseLayer, sizes: Sizes, begin: int, end: int) -> Slice:
    """The labels [begin, end) of `layer`."""
    return Slice(begin, end, sizes, max(BLOCK // sizes.group, 1) * sizes.group)


@compiled
def scores_slice(
    x: Features, layer: LayerArrays, out: Floats, buffers: GroupBuffers, labels: Slice, width: Width
) -> None:
    """Write the scores of the labels to `out` [B, L]."""
    x, layer, out, buffers = unowned(x), unowned_layer(layer), unowned(out), unowned_group(buffers)
    sizes = labels.sizes
    for first in range(labels.begin, labels.end, labels.block):
        last = min(first + labels.block, labels.end)
        for label in range(first, last, sizes.group):
            place = label - first
            decode_group(layer, label, min(sizes.group, last - label), sizes, buffers.weight)
            buffers.scores[place * sizes.padded_rows :][: sizes.padded_group * sizes.padded_rows] = ZERO
            add_scores(x, layer.indices[label // sizes.group], buffers, sizes, place, width)
        put_scores(buffers.scores, sizes.padded_rows, out, first, last - first)


@compiled_reassociating
def few_scores_slice(
    rows_BD: Floats, layer: LayerArrays, group: int, out: Floats, values_BK: Floats, begin: int, end: int
) -> None:
    """Write the scores of labels [begin, end) for a few rows, without panels; `values_BK` is workspace."""
    rows_BD, layer, out, values_BK = unowned(rows_BD), unowned_layer(layer), unowned(out), unowned(values_BK)
    weight_K = values_BK[len(rows_BD)]
    for first in range(begin, end, group):
        index_K = layer.indices[first // group]
        for row in range(len(rows_BD)):
            for k in range(len(index_K)):
                values_BK[row, k] = rows_BD[row, np.int64(index_K[k])]
        for label in range(first, min(first + group, end)):
            decode(layer.weight[label], layer.kind, weight_K)
            for row in range(len(rows_BD)):
                score = ZERO
                for k in range(len(index_K)):
                    score += weight_K[k] * values_BK[row, k]
                out[row, label] = score


@compiled
def grad_features_slice(
    grad: Floats, layer: LayerArrays, dx: Floats, buffers: GroupBuffers, labels: Slice, width: Width
) -> None:
    """Add the contributions of the labels to the panels `dx`, from `grad` [B, L]."""
    grad, layer, dx, buffers = unowned(grad), unowned_layer(layer), unowned(dx), unowned_group(buffers)
    sizes = labels.sizes
    for first in range(labels.begin, labels.end, labels.block):
        last = min(first + labels.block, labels.end)
        take_gradients(grad, first, last - first, buffers.scores, sizes.padded_rows)
        for label in range(first, last, sizes.group):
            count = min(sizes.group, last - label)
            decode_group(layer, label, count, sizes, buffers.weight)
            to = Target(dx, layer.indices[label // sizes.group])
            add_grad_features(to, buffers, sizes, label - first, count, width)


@compiled
def grad_weight_slice(
    x: Features, grad: Floats, out: LayerArrays, buffers: GroupBuffers, labels: Slice, width: Width
) -> None:
    """Write dW of the labels to the weight of `out`, float32, from `grad` [B, L]."""
    x, grad, out, buffers = unowned(x), unowned(grad), unowned_layer(out), unowned_group(buffers)
    sizes = labels.sizes
    for first in range(labels.begin, labels.end, labels.block):
        last = min(first + labels.block, labels.end)
        take_gradients(grad, first, last - first, buffers.scores, sizes.padded_rows)
        for label in range(first, last, sizes.group):
            gather_columns(x, out.indices[label // sizes.group], sizes, buffers.columns, width)
            buffers.grad[:] = ZERO
            add_grad_weight(buffers, sizes, label - first, width)
            for number in range(min(sizes.group, last - label)):
                row_K = buffers.grad[number * sizes.padded_fan_in :][: sizes.fan_in]
                copy(row_K, out.weight[label + number].view(np.float32))


def scores(features_BD: Tensor, layer: SparseLayer, out_BL: Tensor) -> None:
    """See `ffi.Products`."""
    num_rows, num_features = features_BD.shape
    panels, arrays, out = Panels(num_rows, num_features), arrays_of(layer), array(out_BL)
    few, width = num_rows <= FEW_ROWS, panels.width
    sizes = sizes_of(layer, panels, features_BD.dtype)
    x: Any = array(features_BD.float()) if few else panels.of(features_BD)

    def run(_: int, begin: int, end: int) -> None:
        labels = slice_of(layer, sizes, begin, end)
        if few:
            workspace = np.empty((num_rows + 1, layer.fan_in), np.float32)
            few_scores_slice(x, arrays, sizes.group, out, workspace, begin, end)
        else:
            scores_slice(x, arrays, out, group_buffers(sizes, panels, labels.block), labels, width)

    over_slices(run, slices(layer.num_labels, group=layer.group))


def grad_features(grad_BL: Tensor, layer: SparseLayer, out_BD: Tensor) -> None:
    """See `ffi.Products`. Each slice of labels has a partial dX; these are added in order at the end."""
    panels = Panels(*out_BD.shape)
    grad, arrays, sizes = array(grad_BL.float()), arrays_of(layer), sizes_of(layer, panels)
    parts, partials = panels.partials(layer.num_labels, layer.group)
    dx = array(partials)

    def run(number: int, begin: int, end: int) -> None:
        labels = slice_of(layer, sizes, begin, end)
        buffers = group_buffers(sizes, panels, labels.block)
        grad_features_slice(grad, arrays, dx[number], buffers, labels, panels.width)

    over_slices(run, parts)
    out_BD.copy_(panels.total(partials))


def grad_weight(grad_BL: Tensor, features_BD: Tensor, out: SparseLayer) -> None:
    """See `ffi.Products`."""
    panels = Panels(*features_BD.shape)
    x, grad, arrays, sizes = (
        panels.of(features_BD),
        array(grad_BL.float()),
        arrays_of(out),
        sizes_of(out, panels),
    )

    def run(_: int, begin: int, end: int) -> None:
        labels = slice_of(out, sizes, begin, end)
        buffers = group_buffers(sizes, panels, labels.block)
        grad_weight_slice(x, grad, arrays, buffers, labels, panels.width)

    over_slices(run, slices(out.num_labels, group=out.group))
