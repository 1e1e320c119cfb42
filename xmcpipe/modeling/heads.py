"""Output layers over a range of labels: fixed fan-in (SPARTEX), dense, and dense behind a bottleneck.

A head owns the labels [first_label, first_label + num_labels) of L and never assumes that these are all; its
random choices depend on a label's own number. It works on chunks of its labels: `scores` of a chunk, and
`backward`, which returns a chunk's share of dX and writes the gradient of its weights. So no [B, L] tensor is
needed anywhere.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xmcpipe.errors import XmcpipeError
from xmcpipe.ops import topology
from xmcpipe.ops.ffi import ffi_grad_features, ffi_grad_weight, ffi_scores
from xmcpipe.ops.philox import random_normal

STREAM_WEIGHT = 0xFFFFFFFF  # far from the streams of rewirings, which count up from 0
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

Device = torch.device | str


@dataclass(frozen=True)
class HeadShape:
    """What a head is built from.

    It owns `num_labels` of `total_labels` labels (0: it owns all), from `first_label` on.

    `init_std` 0 stands for 1 / sqrt(features that a label reads); `dtype` is that of the weights, one of
    DTYPES.
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


class Head(nn.Module):
    """Common ground: weight [n, W] of the shape's dtype and bias float32 [n] or None, over n labels; chunks
    are [begin, end) of them.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(self, shape: HeadShape, device: Device, width: int) -> None:
        super().__init__()
        self.shape = shape
        dtype = DTYPES[shape.dtype]
        self.weight = nn.Parameter(torch.empty(shape.num_labels, width, dtype=dtype, device=device))
        self.bias = nn.Parameter(torch.zeros(shape.num_labels, device=device)) if shape.bias else None

    @property
    def num_labels(self) -> int:
        """Labels of this head."""
        return self.shape.num_labels

    def label_numbers(self, begin: int, end: int) -> Tensor:
        """The labels' own numbers of a chunk, int64 [end - begin]."""
        return torch.arange(begin, end, device=self.weight.device) + self.shape.first_label

    def reset_parameters(self) -> None:
        """Draw the weights: normal, each a function of (seed, label number, place) alone; the bias is 0.

        In half precision they are the same numbers, rounded to the nearest.
        """
        width = self.weight.shape[1]
        std = self.shape.init_std or 1.0 / math.sqrt(width)
        with torch.no_grad():
            for begin, end in self.chunks(topology.chunk_rows(2 * width)):
                labels = self.label_numbers(begin, end)
                self.weight[begin:end] = std * random_normal(self.shape.seed, STREAM_WEIGHT, labels, width)

    def chunks(self, size: int) -> Iterator[tuple[int, int]]:
        """[begin, end) of all its labels, `size` at a time."""
        for begin in range(0, self.num_labels, size):
            yield begin, min(begin + size, self.num_labels)

    def inner(self, features_BD: Tensor) -> Tensor:
        """What the label weights are multiplied with: the features themselves, or a projection of them."""
        return features_BD

    def scores(self, inner_BW: Tensor, begin: int, end: int) -> Tensor:
        """float32 scores of a chunk, [B, end - begin], freshly allocated; no autograd."""
        scores_BC = self._product(inner_BW, begin, end).float()
        return scores_BC if self.bias is None else scores_BC.add_(self.bias[begin:end])

    def backward(
        self, grad_BC: Tensor, inner_BW: Tensor, begin: int, end: int, grad_weight: Tensor
    ) -> Tensor:
        """A chunk's share of dX, [B, W], from the gradient of its scores.

        Writes dW into `grad_weight[begin:end]`.
        """
        raise AssertionError("a kind of head defines it")

    def _product(self, inner_BW: Tensor, begin: int, end: int) -> Tensor:
        raise AssertionError("a kind of head defines it")

    @property
    def num_parameters(self) -> int:
        """Trained numbers of the layer."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def num_bytes(self) -> int:
        """Bytes of parameters and indices as trained."""
        return sum(tensor.nbytes for tensor in [*self.parameters(), *self.buffers()])


class FFIHead(Head):
    """Fixed fan-in: weight [n, K] and index uint16 [n, K]."""

    index: Tensor

    def __init__(self, shape: HeadShape, device: Device) -> None:
        if not shape.fan_in <= shape.in_features <= topology.MAX_FEATURES:
            raise XmcpipeError(
                f"fan_in K = {shape.fan_in} was given for D = {shape.in_features} features, K <= D <= "
                f"{topology.MAX_FEATURES} is wanted",
                "lower train.head.fan_in, or widen the features with train.head.intermediate",
            )
        super().__init__(shape, device, shape.fan_in)
        size = (shape.num_labels, shape.fan_in)
        self.register_buffer("index", torch.zeros(size, dtype=topology.INDEX_DTYPE, device=device))

    def reset_parameters(self) -> None:
        super().reset_parameters()
        for begin, end, first_CK in self._first_index():
            self.index[begin:end] = first_CK

    def first_connections(self) -> float:
        """The share of the connections that are those it began with, each at its place.

        One that was pruned and drawn again for the same place counts as kept.
        """
        kept = sum(
            int((self.index[begin:end].int() == first_CK.int()).sum())
            for begin, end, first_CK in self._first_index()
        )
        return kept / self.index.numel()

    def _first_index(self) -> Iterator[tuple[int, int, Tensor]]:
        """Chunks [begin, end) and the index uint16 [C, K] they begin with."""
        shape = self.shape
        for begin, end in self.chunks(topology.chunk_rows(shape.in_features)):
            labels = self.label_numbers(begin, end)
            yield begin, end, topology.initial_index(shape.seed, labels, shape.in_features, shape.fan_in)

    def _product(self, inner_BW: Tensor, begin: int, end: int) -> Tensor:
        scores_BC: Tensor = ffi_scores(inner_BW, self.weight[begin:end], self.index[begin:end])
        return scores_BC

    def backward(
        self, grad_BC: Tensor, inner_BW: Tensor, begin: int, end: int, grad_weight: Tensor
    ) -> Tensor:
        # The gradient stays in float32: rounded to 16 bits, all scores near 0 would have one and the same.
        weight_CK, index_CK = self.weight[begin:end], self.index[begin:end]
        grad_weight[begin:end] = ffi_grad_weight(grad_BC, inner_BW, index_CK)
        grad_inner: Tensor = ffi_grad_features(grad_BC, weight_CK, index_CK, inner_BW.shape[1])
        return grad_inner


class DenseHead(Head):
    """Every label reads every feature: weight [n, D]."""

    def __init__(self, shape: HeadShape, device: Device, width: int | None = None) -> None:
        super().__init__(shape, device, width or shape.in_features)

    def _product(self, inner_BW: Tensor, begin: int, end: int) -> Tensor:
        return inner_BW @ self.weight[begin:end].to(inner_BW.dtype).T

    def backward(
        self, grad_BC: Tensor, inner_BW: Tensor, begin: int, end: int, grad_weight: Tensor
    ) -> Tensor:
        grad_BC = grad_BC.to(inner_BW.dtype)
        grad_weight[begin:end] = grad_BC.T @ inner_BW
        return grad_BC @ self.weight[begin:end].to(inner_BW.dtype)


class BottleneckHead(DenseHead):
    """A dense layer D -> W, then dense W -> L, with W such that both hold as many parameters as the FFI
    layer.
    """

    def __init__(self, shape: HeadShape, device: Device) -> None:
        labels = shape.total_labels or shape.num_labels
        width = max(1, round(labels * shape.fan_in / (labels + shape.in_features)))
        super().__init__(shape, device, width)
        # Drawn by torch's own generator: on the CPU, so that a seed means the same on every device.
        self.projection = nn.Linear(shape.in_features, width, bias=False).to(device)

    def inner(self, features_BD: Tensor) -> Tensor:
        return torch.nn.functional.linear(features_BD, self.projection.weight.to(features_BD.dtype))


KINDS: dict[str, type[Head]] = {"ffi": FFIHead, "dense": DenseHead, "bottleneck": BottleneckHead}


def build(shape: HeadShape, device: Device = "cpu") -> Head:
    """The head of `shape.kind` on `device`, not yet drawn (`reset_parameters`).

    Raises XmcpipeError for K > D.
    """
    return KINDS[shape.kind](shape, device)  # type: ignore[call-arg]
