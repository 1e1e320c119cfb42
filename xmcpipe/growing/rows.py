"""Appends fitted rows to the output layer of a model. The old rows keep their places, and every bit.

L labels of the model, M new ones, K fan-in, K' words of a label.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xmcpipe.errors import XmcpipeError
from xmcpipe.growing.fit import Rows
from xmcpipe.modeling.heads import Head, build
from xmcpipe.modeling.heads.ffi import FFIHead
from xmcpipe.modeling.model import Model
from xmcpipe.ops.rounding import encoded
from xmcpipe.ops.topology import to_index

# The width of a bottleneck follows from L.
GROWING = ("ffi", "dense")


def require_growing(model: Model, what: object) -> None:
    """Raise XmcpipeError, which names `what`, for a model whose output layer can't have more rows."""
    kind = model.head.shape.kind
    if kind not in GROWING:
        raise XmcpipeError(
            f"{what}: labels can be added to output layers of the kinds {' and '.join(GROWING)}, got {kind}",
            "train again with all labels",
        )


@torch.no_grad()
def append_rows(model: Model, rows: Rows, order_M: npt.NDArray[np.int64]) -> None:
    """Replace the head of `model` by one with L + M labels. Weights are rounded to the head's dtype.

    `order_M` is the new label at each place behind the old ones.
    """
    old, group = model.head, model.head.shape.group
    rows = rows.at(order_M)
    count = old.num_labels + len(rows.weight)
    new = build(replace(old.shape, num_labels=count, total_labels=0), old.weight.device)
    _fill(new.weight, old.weight, encoded(torch.from_numpy(rows.weight), new.weight.dtype))
    if new.bias is not None and old.bias is not None:
        _fill(new.bias, old.bias, torch.from_numpy(rows.bias))
    if new.is_sparse:
        first = -old.num_labels % group  # the place of the first group of new labels alone
        _fill(new.index, old.index, to_index(torch.from_numpy(rows.features[first::group])))
    if isinstance(new, FFIHead) and old.order is not None:
        labels_M = torch.from_numpy(old.num_labels + order_M).to(old.order)
        new.set_order(torch.cat([old.order, labels_M]))
    if new.word_layer is not None and old.word_layer is not None:
        _fill(new.word_layer.weight, old.word_layer.weight, torch.from_numpy(rows.word_weight))
        _fill(new.word_layer.index, old.word_layer.index, to_index(torch.from_numpy(rows.words)))
    model.head = new


def _fill(new: Tensor, old: Tensor, last: Tensor) -> None:
    """Copy the rows of `old` and then those of `last`."""
    new[: len(old)].copy_(old)
    new[len(old) :].copy_(last)


@torch.no_grad()
def rows_of(head: Head, count: int) -> list[Tensor]:
    """Copies of the first `count` rows of everything that belongs to a label."""
    return [tensor[:count].clone() for tensor in _tensors(head)]


@torch.no_grad()
def put_back(head: Head, rows: list[Tensor]) -> None:
    """Write rows that `rows_of` copied."""
    for tensor, saved in zip(_tensors(head), rows, strict=True):
        tensor[: len(saved)].copy_(saved)


def _tensors(head: Head) -> list[Tensor]:
    found: list[Tensor] = [head.weight, *([] if head.bias is None else [head.bias])]
    return found if head.word_layer is None else [*found, head.word_layer.weight]
