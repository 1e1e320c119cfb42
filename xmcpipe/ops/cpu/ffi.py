"""The fixed fan-in products on a CPU, compiled by numba: gather rows of x^T, with sums in registers.

A connection reads one feature of all rows of the batch. Therefore x, the features, is stored as panels
[P, D, W] of W rows each, in which one feature's values are a contiguous vector, called a column. A panel
(100 KB at D = 768) stays in the second-level cache, while weights and indices are read from memory once. Each
label reads K columns, where the dense product reads D, and no dense tile is written.

In the compiled functions, `x` and `dx` are flat panels, `base` is the first row of a panel in them (D times
its number), and `grad[offset:]` begins with the gradient of a label's scores of that panel.

B rows, D features, L labels, K fan-in, P panels, W rows of a panel.
"""

from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from xmcpipe.ops.cpu.arrays import Features, Index, LayerArrays, Width, array, arrays_of, unowned_layer
from xmcpipe.ops.cpu.panels import Panels
from xmcpipe.ops.cpu.rounding import Floats, decode
from xmcpipe.ops.cpu.simd.compiling import compiled, compiled_reassociating
from xmcpipe.ops.cpu.simd.transposes import BLOCK, Matrix, copy_transposed
from xmcpipe.ops.cpu.simd.vectors import LANES, dot, fma, load, splat, store, unowned
from xmcpipe.ops.cpu.threads import over_slices, slices
from xmcpipe.ops.layer import SparseLayer

FEW_ROWS = 4  # largest batch without panels: a connection of one row costs a fifth of that of a panel
ZERO = np.float32(0.0)


class PanelPair(NamedTuple):
    """Features and their gradient, as flat panels of the same layout."""

    x: Features
    dx: Floats


@compiled
def row_scores(
    x: Features, base: int, bias: np.float32, weight_K: Floats, index_K: Index, width: Width
) -> Any:
    """A label's scores of one panel: a vector of W."""
    lanes = LANES * len(width)
    scores = splat(bias, width)
    for k in range(len(index_K)):
        column = load(x, (base + np.int64(index_K[k])) * lanes, width)
        scores = fma(splat(weight_K[k], width), column, scores)
    return scores


@compiled
def row_grad_weight(
    x: Features, base: int, grad: Floats, offset: int, index_K: Index, out_K: Floats, width: Width
) -> None:
    """Add a panel's contribution to a label's dW."""
    lanes = LANES * len(width)
    slope = load(grad, offset, width)  # stays in registers over all connections
    for k in range(len(index_K)):
        out_K[k] += dot(slope, load(x, (base + np.int64(index_K[k])) * lanes, width))


@compiled
def row_grad_features(
    dx: Floats, base: int, grad: Floats, offset: int, weight_K: Floats, index_K: Index, width: Width
) -> None:
    """Add a label's contribution to a panel of dX."""
    lanes, slope = LANES * len(width), load(grad, offset, width)
    for k in range(len(index_K)):
        column = (base + np.int64(index_K[k])) * lanes
        store(dx, column, fma(splat(weight_K[k], width), slope, load(dx, column, width)))


@compiled
def row_gradients(
    panels: PanelPair,
    base: int,
    grad: Floats,
    offset: int,
    weight_K: Floats,
    index_K: Index,
    out_K: Floats,
    width: Width,
) -> None:
    """`row_grad_weight` and `row_grad_features` in one loop: a fifth faster than one after the other."""
    x, dx = panels.x, panels.dx
    lanes, slope = LANES * len(width), load(grad, offset, width)
    for k in range(len(index_K)):
        column = (base + np.int64(index_K[k])) * lanes
        before = load(dx, column, width)
        out_K[k] += dot(slope, load(x, column, width))
        store(dx, column, fma(splat(weight_K[k], width), slope, before))


class SliceBuffers(NamedTuple):
    """Workspace of a slice: one label's weights float32 [K], and scores of a block float32 [BLOCK, P * W]."""

    weight: Floats
    block: Floats


def slice_buffers(fan_in: int, panels: Panels) -> SliceBuffers:
    """New buffers; each thread needs its own."""
    return SliceBuffers(np.empty(fan_in, np.float32), np.zeros((BLOCK, panels.padded_rows), np.float32))


@compiled
def put_scores(block: Floats, padded_rows: int, out: Floats, first: int, count: int) -> None:
    """Copy `count` labels of a `block`, flat [n, P * W], to columns of `out` [B, L] from `first` on."""
    target = Matrix(out.reshape(out.size), first, out.shape[1])
    copy_transposed(Matrix(block, 0, padded_rows), target, count, out.shape[0])


@compiled
def scores_slice(
    x: Features, layer: LayerArrays, out: Floats, buffers: SliceBuffers, begin: int, end: int, width: Width
) -> None:
    """Write the scores of labels [begin, end) to `out` [B, L]."""
    x, layer, out = unowned(x), unowned_layer(layer), unowned(out)
    weight_K, block = unowned(buffers.weight), unowned(buffers.block)
    lanes, num_features = LANES * len(width), x.size // block.shape[1]
    for first in range(begin, end, len(block)):
        count = min(len(block), end - first)
        for number in range(count):
            decode(layer.weight[first + number], layer.kind, weight_K)
            index_K = layer.indices[first + number]
            for panel in range(block.shape[1] // lanes):
                scores = row_scores(x, panel * num_features, ZERO, weight_K, index_K, width)
                store(block[number], panel * lanes, scores)
        put_scores(block.reshape(block.size), block.shape[1], out, first, count)


@compiled_reassociating
def few_scores_slice(
    rows_BD: Floats, layer: LayerArrays, out: Floats, weight_K: Floats, begin: int, end: int
) -> None:
    """`scores_slice` for a few rows without panels, which would be mostly padding; `out` is [B, L].

    The rows stay in the first-level cache, and the CPU gathers single values from them.
    """
    rows_BD, layer, out = unowned(rows_BD), unowned_layer(layer), unowned(out)
    weight_K = unowned(weight_K)
    for label in range(begin, end):
        decode(layer.weight[label], layer.kind, weight_K)
        index_K = layer.indices[label]
        for row in range(len(rows_BD)):
            row_D, score = rows_BD[row], ZERO
            for k in range(len(index_K)):
                score += weight_K[k] * row_D[np.int64(index_K[k])]
            out[row, label] = score


@compiled
def take_gradients(grad: Floats, first: int, count: int, block: Floats, padded_rows: int) -> None:
    """Copy `count` columns of `grad` [B, L] from `first` on to a `block` of labels, flat [n, P * W]."""
    source = Matrix(grad.reshape(grad.size), first, grad.shape[1])
    copy_transposed(source, Matrix(block, 0, padded_rows), grad.shape[0], count)


@compiled
def grad_features_slice(
    grad: Floats, layer: LayerArrays, dx: Floats, buffers: SliceBuffers, begin: int, end: int, width: Width
) -> None:
    """Add the contributions of labels [begin, end) to the panels `dx`, from `grad` [B, L]."""
    grad, layer, dx = unowned(grad), unowned_layer(layer), unowned(dx)
    weight_K, block, lanes = unowned(buffers.weight), unowned(buffers.block), LANES * len(width)
    num_panels, num_features = block.shape[1] // lanes, dx.size // block.shape[1]
    for first in range(begin, end, len(block)):
        count = min(len(block), end - first)
        take_gradients(grad, first, count, block.reshape(block.size), block.shape[1])
        for label in range(first, first + count):
            grad_B, index_K = block[label - first], layer.indices[label]
            decode(layer.weight[label], layer.kind, weight_K)
            for panel in range(num_panels):
                row_grad_features(dx, panel * num_features, grad_B, panel * lanes, weight_K, index_K, width)


@compiled
def grad_weight_slice(
    x: Features, grad: Floats, index: Index, out: Floats, block: Floats, begin: int, end: int, width: Width
) -> None:
    """Write dW of labels [begin, end) to `out` [L, K], from `grad` [B, L]; `block` is workspace."""
    x, grad, index, out, block = unowned(x), unowned(grad), unowned(index), unowned(out), unowned(block)
    lanes, num_features = LANES * len(width), x.size // block.shape[1]
    for first in range(begin, end, len(block)):
        count = min(len(block), end - first)
        take_gradients(grad, first, count, block.reshape(block.size), block.shape[1])
        for number in range(count):
            grad_B, index_K, out_K = block[number], index[first + number], out[first + number]
            out_K[:] = ZERO
            for panel in range(block.shape[1] // lanes):
                row_grad_weight(x, panel * num_features, grad_B, panel * lanes, index_K, out_K, width)


def scores(features_BD: Tensor, layer: SparseLayer, out_BL: Tensor) -> None:
    """See `ffi.Products`."""
    num_rows, num_features = features_BD.shape
    panels, arrays, out = Panels(num_rows, num_features), arrays_of(layer), array(out_BL)
    few = num_rows <= FEW_ROWS
    x, width = array(features_BD.float()) if few else panels.of(features_BD), panels.width

    def run(_: int, begin: int, end: int) -> None:
        if few:
            few_scores_slice(x, arrays, out, np.empty(layer.fan_in, np.float32), begin, end)
        else:
            scores_slice(x, arrays, out, slice_buffers(layer.fan_in, panels), begin, end, width)

    over_slices(run, slices(layer.num_labels))


def grad_features(grad_BL: Tensor, layer: SparseLayer, out_BD: Tensor) -> None:
    """See `ffi.Products`. Each slice of labels has a partial dX; these are added in order at the end."""
    panels = Panels(*out_BD.shape)
    grad, arrays, width = array(grad_BL.float()), arrays_of(layer), panels.width
    parts, partials = panels.partials(layer.num_labels)
    dx = array(partials)

    def run(number: int, begin: int, end: int) -> None:
        buffers = slice_buffers(layer.fan_in, panels)
        grad_features_slice(grad, arrays, dx[number], buffers, begin, end, width)

    over_slices(run, parts)
    out_BD.copy_(panels.total(partials))


def grad_weight(grad_BL: Tensor, features_BD: Tensor, out: SparseLayer) -> None:
    """See `ffi.Products`."""
    panels = Panels(*features_BD.shape)
    x, grad = panels.of(features_BD), array(grad_BL.float())
    index, out_LK, width = array(out.index), array(out.weight), panels.width

    def run(_: int, begin: int, end: int) -> None:
        grad_weight_slice(x, grad, index, out_LK, slice_buffers(0, panels).block, begin, end, width)

    over_slices(run, slices(out.num_labels))
