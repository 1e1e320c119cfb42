"""Bundles the arguments that the operators of the sparse layer share.

An operator registered with torch must have a flat schema. Below it, each implementation (torch, numba, CUDA)
takes the same few tuples: `step_(features, layer, positives, loss, update)`.

B rows, D features, L labels, G labels of a group, R groups, K fan-in, P positives.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class SparseLayer(NamedTuple):
    """A fixed fan-in layer in ELLPACK rows: the K indices of a row are distinct and in [0, D).

    The labels [r * G, (r + 1) * G) are group r, which reads the features of row r of the index; the last
    group may be smaller. With G = 1 each label reads features of its own.
    """

    weight: Tensor
    """[L, K], bfloat16, float16, float32, or float8_e4m3fn of 64 times the values (`ops/rounding.py`); the
    products also accept float64."""
    index: Tensor  # type: ignore[assignment]  # tuple.index is hidden on purpose: the layer is no sequence
    """uint16 [R, K], R = L / G rounded up: the features that the weights of a group multiply."""
    bias: Tensor | None = None
    """float32 [L], or None for a layer without bias."""
    momentum: Tensor | None = None
    """[L, K], in the weight's dtype (not of 8 bits) or bfloat16; None for SGD without momentum."""
    group: int = 1
    """G, the number of labels of a group."""

    @property
    def num_labels(self) -> int:
        """L."""
        return len(self.weight)

    @property
    def fan_in(self) -> int:
        """K."""
        return self.weight.shape[1]

    def part(self, begin: int, end: int) -> "SparseLayer":
        """Views of the labels [begin, end); `begin` is the first label of a group."""
        assert begin % self.group == 0, "a part begins with a whole group"
        bias, momentum = (None if each is None else each[begin:end] for each in (self.bias, self.momentum))
        index = self.index[begin // self.group : -(-end // self.group)]
        return SparseLayer(self.weight[begin:end], index, bias, momentum, self.group)

    def index_of_labels(self) -> Tensor:
        """The index of each label, int64 [L, K]; of a whole layer it is large."""
        return label_rows(self.index, self.group, self.num_labels)


def whole_groups(num_labels: int, group: int) -> int:
    """The largest number of labels up to `num_labels` that whole groups have, but at least one group."""
    return max(num_labels // group, 1) * group


def label_rows(index_RK: Tensor, group: int, num_labels: int) -> Tensor:
    """The features of each label, int64 [L, K], from those of its group."""
    index = index_RK.to(torch.int64)
    return index if group == 1 else index.repeat_interleave(group, 0)[:num_labels]


class Positives(NamedTuple):
    """The (row, label) pairs whose target is 1: int64 [P] each, distinct pairs, labels ascending."""

    rows: Tensor
    labels: Tensor

    @staticmethod
    def of(rows: Tensor, labels: Tensor) -> "Positives":
        """Sort pairs of any order by label; pairs of one label keep their order."""
        order = labels.argsort(stable=True)
        return Positives(rows[order], labels[order])

    def within(self, begin: int, end: int) -> "Positives":
        """The pairs with a label in [begin, end), labels counted from `begin`; waits for the device."""
        (pairs,) = self.parts([(begin, end)])
        return pairs

    def parts(self, ranges: Sequence[tuple[int, int]]) -> "list[Positives]":
        """The pairs of each range of labels, as `within`; waits for the device once for all of them."""
        edges = torch.tensor(ranges, device=self.labels.device)
        places = torch.searchsorted(self.labels, edges).tolist()
        return [
            Positives(self.rows[first:last], self.labels[first:last] - begin)
            for (begin, _), (first, last) in zip(ranges, places, strict=True)
        ]


class Update(NamedTuple):
    """One step of SGD: d = scale * dW + weight_decay * w, through momentum if any; then w -= rate * d.

    `scale`, `rate` and `step` are tensors on the layer's device, so that a CUDA graph reads their new values
    at each replay.
    """

    scale: Tensor
    """float32 []: factor of the gradient of the summed loss."""
    rate: Tensor
    """float32 []: learning rate."""
    step: Tensor
    """int64 []: number of the step; with `seed` it chooses the random bits of stochastic rounding."""
    weight_decay: float
    momentum_factor: float
    seed: int
    """Key of the random bits, 64 bits."""
    first_label: int
    """Id of the layer's first label; the random bits of a label depend on its id."""
    label_chunk: int
    """Largest number of labels that are scored at a time."""


class Rewiring(NamedTuple):
    """The connections that a rewiring prunes, and the random numbers that regrow them; see `ops.rewire`."""

    bits: int
    """float32 bits of the threshold: connections with a smaller |weight| are pruned."""
    ties: int
    """Number of connections exactly at the threshold that are pruned too, in order of label and place."""
    seed: int
    number: int
    """Number of the rewiring, from 1."""
    first_label: int
    """Id of the layer's first label."""
    num_features: int
    """D."""
    row_count: int = 0
    """If not 0: the smallest |weight| of each row, so many of them, are pruned in place of bits and ties."""
