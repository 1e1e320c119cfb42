"""The head with a fixed fan-in: each label reads K of the D features; an index lists which (SPARTEX).

With groups, G labels share the features that they read, with weights of their own: the index is G times
smaller, and products are small dense ones.

Sources: Ullah et al. 2024 (arXiv 2411.03171); of groups, Ullah et al. 2026 (arXiv 2606.01117).

B rows, D features, K fan-in, R groups, C labels of a chunk.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling.heads.base import WORD_DTYPES, Device, Head, HeadShape
from xmcpipe.ops import topology
from xmcpipe.ops.ffi import ffi_grad_features, ffi_grad_weight, scores
from xmcpipe.ops.layer import SparseLayer
from xmcpipe.ops.word_layer import NO_WORD, WordLayer


class FFIHead(Head):
    """Fixed fan-in: weight [n, K] and index uint16 [R, K], and of K' words, [n, K'], if the head reads words.

    With groups of more than one label it also has an `order`, first that of the ids; `set_order` sets it.
    The words' weights begin at 0 and have no gradient for autograd: their update is a part of the forward
    pass (`ops.words`). Which words a label reads is for the training to choose; at first they are none.
    Raises XmcpipeError for K > D.
    """

    def __init__(self, shape: HeadShape, device: Device) -> None:
        if not shape.fan_in <= shape.in_features <= topology.MAX_FEATURES:
            raise XmcpipeError(
                f"expected fan_in K <= features D <= {topology.MAX_FEATURES}, got K = {shape.fan_in} and "
                f"D = {shape.in_features}",
                "lower train.head.fan_in, or set train.head.intermediate to have more features",
            )
        super().__init__(shape, device, shape.fan_in)
        size = (-(-shape.num_labels // shape.group), shape.fan_in)
        self.register_buffer("index", torch.zeros(size, dtype=topology.INDEX_DTYPE, device=device))
        if shape.group > 1:
            order = torch.arange(shape.num_labels, dtype=torch.int32, device=device) + shape.first_label
            self.register_buffer("label_order", order)
        if shape.word_fan_in:
            size = (shape.num_labels, shape.word_fan_in)
            weight = torch.zeros(size, dtype=WORD_DTYPES[shape.dtype], device=device)
            self.word_weight = nn.Parameter(weight, requires_grad=False)
            no_words = torch.full(size, NO_WORD, dtype=topology.INDEX_DTYPE, device=device)
            self.register_buffer("word_index", no_words)

    @property
    def word_layer(self) -> WordLayer | None:
        return WordLayer(self.word_weight, self.word_index) if self.shape.word_fan_in else None

    word_weight: nn.Parameter
    word_index: Tensor
    label_order: Tensor

    @property
    def order(self) -> Tensor | None:
        return self.label_order if self.shape.group > 1 else None

    def set_order(self, labels_n: Tensor) -> None:
        """Lay the labels out in this order of their ids, int32 [n]: G neighbours are a group."""
        self.label_order.copy_(labels_n)

    @property
    def layer(self) -> SparseLayer:
        """The layer as the operators take it."""
        return SparseLayer(self.weight, self.index, self.bias, group=self.shape.group)

    def reset_parameters(self) -> None:
        super().reset_parameters()
        for begin, end, first_CK in self._initial_index():
            self.index[begin:end] = first_CK

    def first_connections(self) -> float:
        """Fraction of the initial connections that are still in place.

        A connection that was pruned and then drawn again for the same position counts as still in place.
        """
        unchanged = sum(
            int((self.index[begin:end].int() == first_CK.int()).sum())
            for begin, end, first_CK in self._initial_index()
        )
        return unchanged / self.index.numel()

    # The gradient of the scores stays in float32: in 16 bits, that of all scores near 0 would be one number.

    def grad_weight(self, grad_scores_BC: Tensor, projected_BW: Tensor, begin: int, end: int) -> Tensor:
        index, group = self.layer.part(begin, end).index, self.shape.group
        grad_weight_CK: Tensor = ffi_grad_weight(grad_scores_BC, projected_BW, index, group)
        return grad_weight_CK

    def grad_projected(self, grad_scores_BC: Tensor, projected_BW: Tensor, begin: int, end: int) -> Tensor:
        part, width = self.layer.part(begin, end), projected_BW.shape[1]
        grad_projected_BW: Tensor = ffi_grad_features(
            grad_scores_BC, part.weight, part.index, width, part.group
        )
        return grad_projected_BW

    def _product(self, projected_BW: Tensor, begin: int, end: int) -> Tensor:
        part = self.layer.part(begin, end)
        return scores(projected_BW, part.weight, part.index, part.group)

    def _initial_index(self) -> Iterator[tuple[int, int, Tensor]]:
        """Chunks [begin, end) of rows of the index, and the uint16 [C, K] that each begins with."""
        shape, size = self.shape, topology.chunk_rows(self.shape.in_features)
        for begin, end in self.chunking(len(self.index), size):
            rows = torch.arange(begin, end, device=self.index.device) + shape.first_label // shape.group
            first_CK = topology.initial_index(shape.seed, rows, shape.in_features, shape.fan_in)
            yield begin, end, topology.to_index(first_CK.int() + shape.first_feature)
