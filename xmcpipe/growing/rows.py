"""Appends fitted rows to the output layer of a model. The old rows keep their ids, and every bit.

L labels of the model, M new ones, K fan-in, K' words of a label.
"""

from dataclasses import replace

import torch
from torch import Tensor

from xmcpipe.errors import XmcpipeError
from xmcpipe.growing.fit import Rows
from xmcpipe.modeling.heads import Head, build
from xmcpipe.modeling.model import Model
from xmcpipe.ops.rounding import encoded
from xmcpipe.ops.topology import to_index

# Width of a bottleneck follows from L, and groups share an index that has been chosen for all their labels.
GROWING = ("ffi", "dense")


def require_growing(model: Model, what: object) -> None:
    """Raise XmcpipeError, which names `what`, for a model whose output layer can't have more rows."""
    shape = model.head.shape
    if shape.group > 1:
        raise XmcpipeError(
            f"{what}: labels can't be added to an output layer with groups of {shape.group} labels",
            "train again with all labels; train.start_from begins with this model",
        )
    if shape.kind not in GROWING:
        raise XmcpipeError(
            f"{what}: labels can be added to output layers of the kinds {' and '.join(GROWING)}, got "
            f"{shape.kind}",
            "train again with all labels",
        )


@torch.no_grad()
def append_rows(model: Model, rows: Rows) -> None:
    """Replace the head of `model` by one with L + M labels. Weights are rounded to the head's dtype."""
    old = model.head
    count = old.num_labels + len(rows.weight)
    new = build(replace(old.shape, num_labels=count, total_labels=0), old.weight.device)
    _fill(new.weight, old.weight, encoded(torch.from_numpy(rows.weight), new.weight.dtype))
    if new.bias is not None and old.bias is not None:
        _fill(new.bias, old.bias, torch.from_numpy(rows.bias))
    if new.is_sparse:
        _fill(new.index, old.index, to_index(torch.from_numpy(rows.features)))
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
