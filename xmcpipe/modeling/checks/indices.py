"""Checks the indices of a model that was read from a file, once, before anything computes with it.

The kernels do not check bounds: an index out of range would read or write other memory, and one that is twice
in a row would be updated twice at once. So the values are checked where they enter the process.

The index is read once, on the host, a piece at a time: about 1.5 ns per connection, 0.1 s for 64 connections
of each of a million labels.

L labels, D features, K fan-in, V words.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling.heads import Head
from xmcpipe.modeling.model import Model, embedding_size
from xmcpipe.ops.word_layer import NO_WORD

PIECE = 1 << 20  # number of indices that are checked at a time


def require_sound_indices(model: Model, path: Path, hint: str) -> None:
    """Raise XmcpipeError, which names the file `path`, unless every index of `model` can be used.

    Checked are the features and words that labels read (in range, and distinct in a row), the codes of the
    words, and the ids of the frequent labels. The tensors may be on any device. `hint` says what to do.
    """
    for fault in _faults(model):
        raise XmcpipeError(f"{path}: {fault}", hint)


def _faults(model: Model) -> Iterator[str]:
    """One line for each tensor that has a fault."""
    words, num_words = model.words, 0 if model.words is None else len(model.words.codes)
    # What the model has, not what its file says of it: the kernels read features by these indices.
    features = embedding_size(model.encoder)
    if model.intermediate is not None:
        features = model.intermediate.out_features
    for prefix, head in zip(("head", "frequent.head"), model.heads, strict=False):
        yield from _head_faults(prefix, head, features, num_words)
    if words is not None:
        yield from _ascending_faults("words.codes", words.codes, 1 << 32)
    if model.frequent is not None:
        yield from _ascending_faults("frequent.labels", model.frequent.labels, model.head.num_labels)


def _head_faults(prefix: str, head: Head, num_features: int, num_words: int) -> Iterator[str]:
    shape = head.shape
    if shape.first_feature + shape.in_features > num_features:
        first, last = shape.first_feature, shape.first_feature + shape.in_features - 1
        yield f"{prefix}: expected features below {num_features}, got {first} to {last} in model.json"
    if head.is_sparse:
        owner = "label" if head.shape.group == 1 else "group"
        yield from _row_faults(f"{prefix}.index", head.index, num_features, owner=owner)
    if head.order is not None:
        yield from _order_faults(f"{prefix}.label_order", head.order)
    if head.word_layer is not None:
        yield from _row_faults(f"{prefix}.word_index", head.word_layer.index, num_words, NO_WORD)


def _order_faults(name: str, order_L: Tensor) -> Iterator[str]:
    """The fault of an order that does not have each label once, if it has one."""
    sorted_L = order_L.cpu().sort().values
    wrong = (sorted_L != torch.arange(len(sorted_L), dtype=sorted_L.dtype)).nonzero()
    if len(wrong):
        expected = f"expected each label from 0 to {len(sorted_L) - 1:,} once"
        yield f"{name}: {expected}, got {int(wrong[0]):,} not at all or twice"


def _row_faults(
    name: str, index_LK: Tensor, end: int, none: int | None = None, owner: str = "label"
) -> Iterator[str]:
    """The first fault of an index whose values are in [0, end) and distinct in a row, except for `none`."""
    rows = max(1, PIECE // max(1, index_LK.shape[1]))
    for begin in range(0, len(index_LK), rows):
        piece: npt.NDArray[np.uint16] = index_LK[begin : begin + rows].cpu().numpy()
        sorted_RK = np.sort(piece, axis=1)
        unused_RK = np.zeros_like(sorted_RK, bool) if none is None else sorted_RK == none
        outside_RK = (sorted_RK >= end) & ~unused_RK
        if outside_RK.any():
            row = int(outside_RK.any(axis=1).argmax())
            value = sorted_RK[row][outside_RK[row]][0]
            yield f"{name}: expected values below {end:,}, got {value:,} for {owner} {begin + row:,}"
            return
        repeated_RK = (sorted_RK[:, 1:] == sorted_RK[:, :-1]) & ~unused_RK[:, 1:]
        if repeated_RK.any():
            row = int(repeated_RK.any(axis=1).argmax())
            value = sorted_RK[row, 1:][repeated_RK[row]][0]
            found = f"got {value:,} twice for {owner} {begin + row:,}"
            yield f"{name}: expected different values in a row, {found}"
            return


def _ascending_faults(name: str, values: Tensor, end: int) -> Iterator[str]:
    """The fault of a list of integers in [0, end), ascending, if it has one."""
    if len(values) == 0:
        return
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= end:
        yield f"{name}: expected values from 0 to {end - 1:,}, got {low if low < 0 else high:,}"
    elif bool((torch.diff(values) <= 0).any()):
        yield f"{name}: expected ascending values without repeats"
