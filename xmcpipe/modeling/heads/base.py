"""The base class of all output layers.

A head owns the labels [first_label, first_label + num_labels) of L. It never assumes that these are all
labels, and the random numbers of a label depend on its id only, so that several processes can share a layer.
A head of groups (`HeadShape.group`) keeps its labels in an order of its own, `Head.order`. Everything that
belongs to a label, weights, bias and words, is at its place in this order; `places_of` finds it. Without
groups the order is that of the ids, and a place is an id minus first_label.

It works on chunks of its labels: `scores` returns the scores of a chunk, `grad_weight` the gradient of its
weights, and `grad_projected` its contribution to the gradient of the features. No tensor [B, L] is needed
anywhere.

B rows, D features, W width of the features that the weights multiply (D, or that of a bottleneck's
projection), C labels of a chunk.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xmcpipe.modeling.head_table import HEADS
from xmcpipe.ops import topology
from xmcpipe.ops.layer import whole_groups
from xmcpipe.ops.philox import random_normal
from xmcpipe.ops.rounding import FLOAT8, encoded
from xmcpipe.ops.word_layer import BatchWords, WordLayer
from xmcpipe.ops.words.product import word_scores_

STREAM_WEIGHT = 0xFFFFFFFF  # far from the streams of rewirings, which count up from 0
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float8": FLOAT8}
WORD_DTYPES = {**DTYPES, "float8": torch.bfloat16}  # words keep 16 bits beside weights of 8

Device = torch.device | str
Chunking = Callable[[int, int], Iterator[tuple[int, int]]]


@dataclass(frozen=True)
class HeadShape:
    """Everything that determines how a head is built; model.json stores it.

    `kind` is a name in `head_table.HEADS`. The head owns `num_labels` of `total_labels` labels, from
    `first_label` on; `total_labels` = 0 means that it owns all. `init_std` = 0 means 1 / sqrt(number of
    features that a label reads). `dtype` is the dtype of the weights, a key of DTYPES; weights in "float8"
    are stored as `ops/rounding.py` says. `word_fan_in` is K', the number of words that each label of a
    sparse head reads beside the features. `group` is G, the number of labels that share their features; in a
    head of groups, `first_label` counts places of the order. A sparse head reads `in_features` of the
    features, from `first_feature` on: the others are for another head.
    """

    kind: str
    in_features: int
    num_labels: int
    fan_in: int
    bias: bool
    init_std: float = 0.0
    seed: int = 0
    first_label: int = 0
    total_labels: int = 0
    dtype: str = "float32"
    word_fan_in: int = 0
    group: int = 1
    first_feature: int = 0


def all_chunks(num_labels: int, size: int) -> Iterator[tuple[int, int]]:
    """[begin, end) of every chunk of `size` labels; the last one may be smaller."""
    for begin in range(0, num_labels, size):
        yield begin, min(begin + size, num_labels)


class Head(nn.Module, ABC):
    """An output layer: weight [n, W] in the shape's dtype and bias float32 [n] or None, over n labels.

    A subclass implements `_product` and both gradients, and has a line in `head_table.HEADS`. Chunks are
    [begin, end) of the head's labels; `chunking` lists those that a pass over the layer visits.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None
    index: Tensor  # uint16 [n / G rounded up, K], of sparse heads only

    def __init__(self, shape: HeadShape, device: Device, width: int) -> None:
        super().__init__()
        self.shape = shape
        self.chunking: Chunking = all_chunks
        dtype = DTYPES[shape.dtype]
        self.weight = nn.Parameter(torch.empty(shape.num_labels, width, dtype=dtype, device=device))
        self.bias = nn.Parameter(torch.zeros(shape.num_labels, device=device)) if shape.bias else None

    @property
    def word_layer(self) -> WordLayer | None:
        """The words that each label reads; None for a head that reads features alone."""
        return None

    @property
    def order(self) -> Tensor | None:
        """The id of the label at each place, int32 [n]; None for a head in the order of the ids."""
        return None

    def places_of(self, labels: Tensor) -> Tensor:
        """The places in this head of some of its labels, given their ids, int64."""
        if self.order is None:
            return labels - self.shape.first_label
        place_L = torch.empty(int(self.order.max()) + 1, dtype=torch.int64, device=labels.device)
        place_L[self.order.long()] = torch.arange(self.num_labels, device=labels.device)
        return place_L[labels]

    def at_places(self, values_L: Tensor) -> Tensor:
        """Those of `values_L`, one for each id, that belong to the labels of this head, in its order."""
        if self.order is None:
            return values_L[self.shape.first_label :][: self.num_labels]
        return values_L[self.order.long().to(values_L.device)]

    @property
    def is_sparse(self) -> bool:
        """Whether the head has an `index` of the features that each label reads."""
        return HEADS[self.shape.kind].is_sparse

    @property
    def rewires(self) -> bool:
        """Whether connections can be pruned and grown again."""
        return HEADS[self.shape.kind].rewires

    @property
    def updates_in_place(self) -> bool:
        """Whether SGD can update the weights in the forward pass."""
        return HEADS[self.shape.kind].updates_in_place

    @property
    def index_bytes(self) -> int:
        """Bytes of the index per row of it and place, 0 without an index."""
        return self.index.element_size() if self.is_sparse else 0

    @property
    def num_labels(self) -> int:
        """Number of labels of this head."""
        return self.shape.num_labels

    @property
    def owns_all_labels(self) -> bool:
        """Whether no other head has labels of this layer."""
        return self.shape.total_labels in (0, self.num_labels)

    @property
    def num_parameters(self) -> int:
        """Number of trained values of the layer, weights and biases."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def num_bytes(self) -> int:
        """Bytes of the parameters and indices, in the dtypes in which they are trained."""
        return sum(tensor.nbytes for tensor in [*self.parameters(), *self.buffers()])

    def first_connections(self) -> float | None:
        """Fraction of the connections that no rewiring replaced; None for a head that doesn't rewire."""
        return None

    def label_ids(self, begin: int, end: int) -> Tensor:
        """The numbers of a chunk's labels, int64 [end - begin]: their ids, or places in the order of all."""
        return torch.arange(begin, end, device=self.weight.device) + self.shape.first_label

    def chunks(self, size: int) -> Iterator[tuple[int, int]]:
        """[begin, end) of the chunks to visit, of whole groups and at most `size` labels each."""
        return self.chunking(self.num_labels, whole_groups(size, self.shape.group))

    def reset_parameters(self) -> None:
        """Draw the weights from a normal distribution, each from (seed, label id, position) alone.

        The bias stays 0. In 16 and 8 bits the weights are the same numbers, rounded to nearest.
        """
        width = self.weight.shape[1]
        std = self.shape.init_std or 1.0 / math.sqrt(width)
        with torch.no_grad():
            for begin, end in self.chunks(topology.chunk_rows(2 * width)):
                labels = self.label_ids(begin, end)
                drawn = std * random_normal(self.shape.seed, STREAM_WEIGHT, labels, width)
                self.weight[begin:end] = encoded(drawn, self.weight.dtype)

    def project(self, features_BD: Tensor) -> Tensor:
        """The features that the weights multiply, [B, W]: `features_BD`, unless a subclass projects them."""
        return features_BD

    def scores(self, projected_BW: Tensor, begin: int, end: int, words: BatchWords | None = None) -> Tensor:
        """float32 scores of a chunk, [B, C], in a new tensor; without autograd.

        `words` are those of the rows, for a head with a `word_layer`.
        """
        scores_BC = self._product(projected_BW, begin, end).float()
        if self.bias is not None:
            scores_BC.add_(self.bias[begin:end])
        if words is not None and self.word_layer is not None:
            word_scores_(scores_BC, words, self.word_layer.part(begin, end))
        return scores_BC

    @abstractmethod
    def grad_weight(self, grad_scores_BC: Tensor, projected_BW: Tensor, begin: int, end: int) -> Tensor:
        """The gradient of a chunk's weights, [C, width of a row of weights], from that of its scores."""

    @abstractmethod
    def grad_projected(self, grad_scores_BC: Tensor, projected_BW: Tensor, begin: int, end: int) -> Tensor:
        """A chunk's contribution to the gradient of `projected_BW`, [B, W], from that of its scores."""

    @abstractmethod
    def _product(self, projected_BW: Tensor, begin: int, end: int) -> Tensor:
        """Scores of a chunk without the bias, [B, C], in any float dtype."""
