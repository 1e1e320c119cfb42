"""The words of the layer on a CPU, compiled by numba: only connections whose word is in the batch cost work.

For most connections the work is one read of the index and one test of a bit. 65,536 bits, one a word, fit
into the first-level cache; the places of the words don't, and are read only where the bit is set.

Scores lie row by row, so those of a label are far apart, and often at distances that fall into one set of the
cache. They are read and written for 16 labels at a time, which a line of the cache holds.

B rows, K' words that a label reads, A of them in the batch, P panels, W rows of a panel.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from xmcpipe.ops.cpu.arrays import Index, Width, array
from xmcpipe.ops.cpu.panels import Panels
from xmcpipe.ops.cpu.rounding import FLOAT32, KINDS, Bits, Floats, Randoms, decode, random_row, round_row
from xmcpipe.ops.cpu.simd.compiling import compiled
from xmcpipe.ops.cpu.simd.vectors import LANES, dot, fma, load, splat, store, unowned
from xmcpipe.ops.cpu.threads import over_slices, slices
from xmcpipe.ops.rounding import STREAM_ROUNDING
from xmcpipe.ops.word_layer import SEED_OF_WORDS, BatchWords, WordLayer, WordUpdate

EIGHT, LOW = np.uint16(3), np.uint16(7)
ZERO = np.float32(0.0)
TILE = 16  # labels whose scores are in one line of the cache


class WordArrays(NamedTuple):
    """Layer and batch as arrays: `weight` bits [L, K'] of format `kind`, `indices` [L, K'].

    `held`: a bit for each word, whether the batch has it, uint8 [8192]; `place` int32 [65,536]; `values`
    float32 [U * P * W], the rows of a word padded with zeros; `rate` float32 [U], empty without an update.
    """

    weight: Bits
    kind: int
    indices: Index
    held: NDArray[np.uint8]
    place: NDArray[np.int32]
    values: Floats
    rate: Floats
    key: np.uint64
    stream: np.uint64
    first_label: int


class WordBuffers(NamedTuple):
    """Workspace of one label: its weights float32 [K'], the random bits uint32 [K' rounded up to 8].

    `active` int32 [K'] and `places` int64 [K']: the connections whose word is in the batch, and where it
    begins in `values`.
    """

    weight: Floats
    random: Randoms
    active: NDArray[np.int32]
    places: NDArray[np.int64]


def word_arrays(
    words: BatchWords, layer: WordLayer, padded_rows: int, update: WordUpdate | None = None
) -> WordArrays:
    """Arrays of a layer and a batch; the layer's share the memory of its tensors."""
    values = words.values_UB.new_zeros(len(words.values_UB), padded_rows)
    values[:, : words.values_UB.shape[1]] = words.values_UB
    place, rate = array(words.place), np.empty(0, np.float32)
    key, stream, first_label = 0, 0, 0
    if update is not None:
        rate, first_label = array(update.rate_U), update.first_label
        key, stream = (update.seed ^ SEED_OF_WORDS) & (2**64 - 1), STREAM_ROUNDING + int(update.step)
    return WordArrays(
        array(layer.weight).view(np.uint16),
        KINDS[layer.weight.dtype],
        array(layer.index),
        np.packbits(place >= 0, bitorder="little"),
        place,
        array(values).reshape(-1),
        rate,
        np.uint64(key),
        np.uint64(stream),
        first_label,
    )


def word_buffers(layer: WordLayer) -> WordBuffers:
    """New buffers; each thread needs its own."""
    width = layer.weight.shape[1]
    return WordBuffers(
        np.empty(width, np.float32),
        np.empty(-(-width // 8) * 8, np.uint32),
        np.empty(width, np.int32),
        np.empty(width, np.int64),
    )


@compiled
def unowned_words(words: WordArrays) -> WordArrays:
    """The arrays, each `unowned` (see `simd/vectors.py`)."""
    return WordArrays(
        unowned(words.weight),
        words.kind,
        unowned(words.indices),
        unowned(words.held),
        unowned(words.place),
        unowned(words.values),
        unowned(words.rate),
        words.key,
        words.stream,
        words.first_label,
    )


@compiled
def unowned_word_buffers(buffers: WordBuffers) -> WordBuffers:
    """The buffers, each `unowned`."""
    return WordBuffers(
        unowned(buffers.weight), unowned(buffers.random), unowned(buffers.active), unowned(buffers.places)
    )


@compiled
def find_active(words: WordArrays, label: int, padded_rows: int, buffers: WordBuffers) -> int:
    """Write the label's connections whose word is in the batch to the buffers; returns A, their number.

    Their weights, if there are any, are written as float32 too.
    """
    index_K, active = words.indices[label], 0
    for k in range(len(index_K)):
        word = index_K[k]
        if (words.held[word >> EIGHT] >> (word & LOW)) & 1:
            buffers.active[active] = k
            buffers.places[active] = np.int64(words.place[word]) * padded_rows
            active += 1
    if active:
        decode(words.weight[label], words.kind, buffers.weight)
    return active


@compiled
def add_word_scores(
    words: WordArrays, active: int, buffers: WordBuffers, scores: Floats, width: Width
) -> None:
    """Add the words' part to a label's `scores`, float32 [P * W]."""
    lanes = LANES * len(width)
    for offset in range(0, len(scores) if active else 0, lanes):
        sums = load(scores, offset, width)
        for number in range(active):
            weight = splat(buffers.weight[buffers.active[number]], width)
            sums = fma(weight, load(words.values, buffers.places[number] + offset, width), sums)
        store(scores, offset, sums)


@compiled
def update_words(
    words: WordArrays, label: int, active: int, buffers: WordBuffers, grad: Floats, width: Width
) -> None:
    """Update a label's weights from the gradient of its scores, float32 [P * W]."""
    if active == 0:
        return
    lanes, padded_rows = LANES * len(width), len(grad)
    for number in range(active):
        place, total = buffers.places[number], ZERO
        for offset in range(0, padded_rows, lanes):
            total += dot(load(grad, offset, width), load(words.values, place + offset, width))
        buffers.weight[buffers.active[number]] -= words.rate[place // padded_rows] * total
    if words.kind != FLOAT32:
        random_row(words.key, words.stream, np.uint64(words.first_label + label), buffers.random)
    # Weights that did not change are exact in their format: rounding leaves them as they are.
    round_row(buffers.weight, buffers.random, words.kind, words.weight[label])


@compiled
def scores_slice(
    scores: Floats, words: WordArrays, buffers: WordBuffers, sums: Floats, begin: int, end: int, width: Width
) -> None:
    """Add the words' part to the columns [begin, end) of `scores` [B, L].

    `sums` float32 [16, P * W] is workspace.
    """
    scores, words, sums = unowned(scores), unowned_words(words), unowned(sums)
    buffers, padded_rows = unowned_word_buffers(buffers), sums.shape[1]
    found = np.empty(TILE, np.int64)
    for first in range(begin, end, TILE):
        count = 0
        for label in range(first, min(first + TILE, end)):
            active = find_active(words, label, padded_rows, buffers)
            if active:
                sums[count] = ZERO
                add_word_scores(words, active, buffers, sums[count], width)
                found[count] = label
                count += 1
        for row in range(len(scores) if count else 0):
            for number in range(count):
                scores[row, found[number]] += sums[number, row]


@compiled
def update_slice(
    grad: Floats, words: WordArrays, buffers: WordBuffers, columns: Floats, begin: int, end: int, width: Width
) -> None:
    """Update the labels [begin, end) from `grad` [B, L].

    `columns` float32 [16, P * W] is workspace, zero at first.
    """
    grad, words, columns = unowned(grad), unowned_words(words), unowned(columns)
    buffers = unowned_word_buffers(buffers)
    for first in range(begin, end, TILE):
        last = min(first + TILE, end)
        for row in range(len(grad)):
            for label in range(first, last):
                columns[label - first, row] = grad[row, label]
        for label in range(first, last):
            active = find_active(words, label, columns.shape[1], buffers)
            update_words(words, label, active, buffers, columns[label - first], width)


def scores_(scores_BL: Tensor, words: BatchWords, layer: WordLayer) -> None:
    """See `ops.words.product.word_scores_op_`; `scores_BL` must be contiguous."""
    if scores_BL.numel() == 0:
        return
    panels = Panels(len(scores_BL), 1)
    arrays, scores = word_arrays(words, layer, panels.padded_rows), array(scores_BL)

    def run(_: int, begin: int, end: int) -> None:
        sums = np.empty((TILE, panels.padded_rows), np.float32)
        scores_slice(scores, arrays, word_buffers(layer), sums, begin, end, panels.width)

    over_slices(run, slices(scores_BL.shape[1]))


def update_(grad_BL: Tensor, words: BatchWords, layer: WordLayer, update: WordUpdate) -> None:
    """See `ops.words.product.word_update_op_`."""
    if grad_BL.numel() == 0:
        return
    panels = Panels(len(grad_BL), 1)
    arrays, grad = word_arrays(words, layer, panels.padded_rows, update), array(grad_BL)

    def run(_: int, begin: int, end: int) -> None:
        columns = np.zeros((TILE, panels.padded_rows), np.float32)
        update_slice(grad, arrays, word_buffers(layer), columns, begin, end, panels.width)

    over_slices(run, slices(grad_BL.shape[1]))
