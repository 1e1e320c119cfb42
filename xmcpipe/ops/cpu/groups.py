"""The products of one group of labels that read the same features, compiled by numba: small and dense.

The columns of x^T that a group reads are gathered once, into a block that stays in the first-level cache.
Then scores, dX and dW are the same loop, `multiply_add`: four rows of sums stay in registers while their
terms are added, so that it is nearly as fast as a large BLAS product. Scores in bfloat16 add two terms at a
time where the CPU can (`bfloat_pairs`).

A group is padded to a multiple of TILE labels, K to one of KLANES. Weights of the padding are 0. All arrays
of a group are flat. `ops/cpu/ffi.py` explains panels.

D features, G labels of a group, K fan-in, P panels, W rows of a panel.
"""

from typing import Any, NamedTuple

import numpy as np
import torch

from xmcpipe.ops.cpu.arrays import Features, Index, LayerArrays, Width
from xmcpipe.ops.cpu.bfloat_pairs import PAYS, dot_pairs, gather_pairs, pack_pairs
from xmcpipe.ops.cpu.ffi import ZERO
from xmcpipe.ops.cpu.panels import Panels
from xmcpipe.ops.cpu.rounding import Floats, decode
from xmcpipe.ops.cpu.simd.compiling import compiled, inlined
from xmcpipe.ops.cpu.simd.transposes import transpose_block
from xmcpipe.ops.cpu.simd.vectors import LANES, WIDE, fma, load, load_splat, splat, store, unowned
from xmcpipe.ops.layer import SparseLayer
from xmcpipe.ops.rounding import FLOAT8

TILE = 4  # rows of sums that are in registers at a time
KWIDTH: Width = (0, 0)  # of sums along the fan-in, in units of LANES
KLANES = 2 * LANES
NARROW: Width = (0,)  # TILE sums of a whole width fill half of the registers of AVX-512; elsewhere these fit
EXACT = (torch.bfloat16, FLOAT8)  # weights that bfloat16 holds exactly


class Sizes(NamedTuple):
    """The sizes of a layer's groups: G and K, also padded; P * W; D.

    `pairs`: whether scores are computed by words of two bfloat16.
    """

    group: int
    padded_group: int
    fan_in: int
    padded_fan_in: int
    padded_rows: int
    num_features: int
    pairs: bool


def sizes_of(layer: SparseLayer, panels: Panels, features: torch.dtype = torch.float32) -> Sizes:
    """The sizes for a layer of at least one label, on `features` of this dtype."""
    group, fan_in = min(layer.group, layer.num_labels), layer.fan_in
    padded_group, padded_fan_in = -(-group // TILE) * TILE, -(-fan_in // KLANES) * KLANES
    pairs = PAYS and features == torch.bfloat16 and layer.weight.dtype in EXACT
    return Sizes(group, padded_group, fan_in, padded_fan_in, panels.padded_rows, panels.num_features, pairs)


class GroupBuffers(NamedTuple):
    """Workspace of a group, float32; G and K are padded.

    `weight` and its gradient `grad`: [G, K]. `words`: the weights two by two, [G, K / 2]. `scores`, later
    their gradient: [at least G, P * W]. `columns`: the features that the group reads, [P, K, W]; while scores
    are computed by pairs, words of them. `rows`: those of one panel, transposed, [W, K].
    """

    weight: Floats
    grad: Floats
    words: Floats
    scores: Floats
    columns: Floats
    rows: Floats


def group_buffers(sizes: Sizes, panels: Panels, num_labels: int = 0) -> GroupBuffers:
    """New buffers, `scores` of at least `num_labels`; each thread needs its own."""
    weight, grad = (np.zeros(sizes.padded_group * sizes.padded_fan_in, np.float32) for _ in range(2))
    words = np.zeros(len(weight) // 2, np.float32)
    scores = np.zeros(max(num_labels + TILE, sizes.padded_group) * sizes.padded_rows, np.float32)
    columns = np.zeros(sizes.padded_fan_in * sizes.padded_rows, np.float32)
    return GroupBuffers(
        weight, grad, words, scores, columns, np.zeros(sizes.padded_fan_in * panels.lanes, np.float32)
    )


@compiled
def unowned_group(buffers: GroupBuffers) -> GroupBuffers:
    """The buffers with each array `unowned`."""
    return GroupBuffers(
        unowned(buffers.weight),
        unowned(buffers.grad),
        unowned(buffers.words),
        unowned(buffers.scores),
        unowned(buffers.columns),
        unowned(buffers.rows),
    )


class Scalars(NamedTuple):
    """The single values of a product: values[start + row * row_step + term * term_step]."""

    values: Floats
    start: int
    row_step: int
    term_step: int


class Vectors(NamedTuple):
    """The vectors of a product, one a term: values[start + term * step:]."""

    values: Floats
    start: int
    step: int
    terms: int


@inlined
def _term(value: Any, vector: Any, sums: Any, pairs: bool, width: Width) -> Any:
    """`sums` and the product; LLVM takes the condition out of the loop."""
    return dot_pairs(value, vector, sums) if pairs else fma(value, vector, sums)


@compiled
def multiply_add_lanes(
    a: Scalars, b: Vectors, sums: Floats, places: Any, part: int, width: Width, pairs: bool
) -> None:
    """`multiply_add` for the lanes from `part` on, as many as the width has."""
    place_0, place_1, place_2, place_3 = places
    sum_0, sum_1 = load(sums, place_0 + part, width), load(sums, place_1 + part, width)
    sum_2, sum_3 = load(sums, place_2 + part, width), load(sums, place_3 + part, width)
    at = a.start
    for term in range(b.terms):
        vector = load(b.values, b.start + part + term * b.step, width)
        sum_0 = _term(load_splat(a.values, at, width), vector, sum_0, pairs, width)
        sum_1 = _term(load_splat(a.values, at + a.row_step, width), vector, sum_1, pairs, width)
        sum_2 = _term(load_splat(a.values, at + 2 * a.row_step, width), vector, sum_2, pairs, width)
        sum_3 = _term(load_splat(a.values, at + 3 * a.row_step, width), vector, sum_3, pairs, width)
        at += a.term_step
    store(sums, place_0 + part, sum_0)
    store(sums, place_1 + part, sum_1)
    store(sums, place_2 + part, sum_2)
    store(sums, place_3 + part, sum_3)


@compiled
def multiply_add(
    a: Scalars, b: Vectors, sums: Floats, places: Any, width: Width, pairs: bool = False
) -> None:
    """sums[places[row]:] += the sum over all terms of a's value times b's vector, for four rows.

    With `pairs` both are words of two bfloat16, and a term is two products. `sums` overlaps neither `a` nor
    `b`.
    """
    if WIDE:
        multiply_add_lanes(a, b, sums, places, 0, width, pairs)
    else:
        for part in range(0, LANES * len(width), LANES):
            multiply_add_lanes(a, b, sums, places, part, NARROW, pairs)


@compiled
def decode_group(layer: LayerArrays, first: int, count: int, sizes: Sizes, weight: Floats) -> None:
    """Write the weights of the labels [first, first + count), and zeros for those that the group lacks."""
    pitch = sizes.padded_fan_in
    if pitch == sizes.fan_in:
        words = layer.weight.shape[1]
        bits = layer.weight.reshape(layer.weight.size)[first * words :][: count * words]
        decode(bits, layer.kind, weight[: count * pitch])  # one loop, much longer than that of a label
    else:
        for number in range(count):
            decode(layer.weight[first + number], layer.kind, weight[number * pitch :][: sizes.fan_in])
    weight[count * pitch :] = ZERO


@compiled
def gather_columns(x: Features, index_K: Index, sizes: Sizes, columns: Floats, width: Width) -> None:
    """Copy the columns that the group reads, of all panels."""
    lanes = LANES * len(width)
    for panel in range(sizes.padded_rows // lanes):
        for k in range(sizes.fan_in):
            column = load(x, (panel * sizes.num_features + np.int64(index_K[k])) * lanes, width)
            store(columns, (panel * sizes.padded_fan_in + k) * lanes, column)


@compiled
def add_scores(
    x: Features, index_K: Index, buffers: GroupBuffers, sizes: Sizes, first: int, width: Width
) -> None:
    """scores[first + g, :] += the sum over k of weight[g, k] * x[index[k], :], in every panel."""
    if sizes.pairs:
        _add_scores_by_pairs(x, index_K, buffers, sizes, first, width)
        return
    gather_columns(x, index_K, sizes, buffers.columns, width)
    lanes, pitch, rows = LANES * len(width), sizes.padded_fan_in, sizes.padded_rows
    for panel in range(rows // lanes):
        columns = Vectors(buffers.columns, panel * pitch * lanes, lanes, sizes.fan_in)
        for g in range(0, sizes.padded_group, TILE):
            at = (first + g) * rows + panel * lanes
            places = (at, at + rows, at + 2 * rows, at + 3 * rows)
            multiply_add(Scalars(buffers.weight, g * pitch, pitch, 1), columns, buffers.scores, places, width)


@compiled
def _add_scores_by_pairs(
    x: Features, index_K: Index, buffers: GroupBuffers, sizes: Sizes, first: int, width: Width
) -> None:
    lanes, pitch, rows = LANES * len(width), sizes.padded_fan_in // 2, sizes.padded_rows
    pack_pairs(buffers.weight, buffers.words)
    for panel in range(rows // lanes):
        gather_pairs(x, panel * sizes.num_features * lanes, index_K, buffers.columns, width)
        words = Vectors(buffers.columns, 0, lanes, (sizes.fan_in + 1) // 2)
        for g in range(0, sizes.padded_group, TILE):
            at = (first + g) * rows + panel * lanes
            places = (at, at + rows, at + 2 * rows, at + 3 * rows)
            multiply_add(
                Scalars(buffers.words, g * pitch, pitch, 1), words, buffers.scores, places, width, True
            )


@compiled
def add_grad_weight(buffers: GroupBuffers, sizes: Sizes, first: int, width: Width) -> None:
    """grad[g, :] += the sum over rows of scores[first + g, row] * columns[:, row]; scores are gradients."""
    lanes, pitch, rows = LANES * len(width), sizes.padded_fan_in, sizes.padded_rows
    for panel in range(rows // lanes):
        for k in range(0, pitch, LANES):
            for row in range(0, lanes, LANES):
                source = (panel * pitch + k) * lanes + row
                transpose_block(buffers.columns, source, lanes, buffers.rows, row * pitch + k, pitch)
        for g in range(0, sizes.padded_group, TILE):
            slopes = Scalars(buffers.scores, (first + g) * rows + panel * lanes, rows, 1)
            for k in range(0, pitch, KLANES):
                at = g * pitch + k
                places = (at, at + pitch, at + 2 * pitch, at + 3 * pitch)
                multiply_add(slopes, Vectors(buffers.rows, k, pitch, lanes), buffers.grad, places, KWIDTH)


class Target(NamedTuple):
    """Where a group's part of dX is added: panels of dX, at the K features of the group."""

    dx: Floats
    index_K: Index


@compiled
def add_grad_features(
    target: Target, buffers: GroupBuffers, sizes: Sizes, first: int, count: int, width: Width
) -> None:
    """dx[index[k], :] += the sum over `count` labels of weight[g, k] * scores[first + g, :], gradients."""
    dx, index_K = target
    lanes, pitch, rows = LANES * len(width), sizes.padded_fan_in, sizes.padded_rows
    whole = sizes.fan_in // TILE * TILE
    for panel in range(rows // lanes):
        base, start = panel * sizes.num_features, first * rows + panel * lanes
        slopes = Vectors(buffers.scores, start, rows, count)
        for k in range(0, whole, TILE):
            places = (
                (base + np.int64(index_K[k])) * lanes,
                (base + np.int64(index_K[k + 1])) * lanes,
                (base + np.int64(index_K[k + 2])) * lanes,
                (base + np.int64(index_K[k + 3])) * lanes,
            )
            multiply_add(Scalars(buffers.weight, k, 1, pitch), slopes, dx, places, width)
        for k in range(whole, sizes.fan_in):
            place = (base + np.int64(index_K[k])) * lanes
            total = load(dx, place, width)
            for g in range(count):
                slope = load(buffers.scores, start + g * rows, width)
                total = fma(splat(buffers.weight[g * pitch + k], width), slope, total)
            store(dx, place, total)
