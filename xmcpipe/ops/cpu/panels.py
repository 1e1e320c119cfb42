"""How a batch and the layer's tensors lie in memory for the numba kernels.

B rows, D features, L labels, K fan-in, P panels, W rows of a panel.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xmcpipe.ops.cpu.rounding import KINDS, Bits, Floats
from xmcpipe.ops.cpu.simd import LANES, borrowed, compiled
from xmcpipe.ops.cpu.threads import SLICES, slices

PARTIAL_BYTES = 128 << 20  # of the slices' shares of dX

Index = NDArray[np.uint16]
Features = NDArray[np.float32] | NDArray[np.uint16]
Width = tuple[int, ...]  # W / 16 elements: see `ops/cpu/simd.py`


class Panels:
    """How a batch of B rows lies in memory: P panels of W rows, [P, D, W], the last filled up with zeros.

    W is 64 or 32, whichever leaves less empty.
    """

    def __init__(self, num_rows: int, num_features: int) -> None:
        self.num_rows, self.num_features = num_rows, num_features
        halves = -(-num_rows // (2 * LANES))
        self.width: Width = (0,) * (4 if halves % 2 == 0 else 2)
        self.lanes = LANES * len(self.width)
        self.number = -(-num_rows // self.lanes)

    @property
    def padded_rows(self) -> int:
        """B with the zeros: P * W."""
        return self.number * self.lanes

    def of(self, rows_BD: Tensor) -> Features:
        """Rows [B, D] of any float type as panels, flat: float32, or bits of bfloat16."""
        dtype = rows_BD.dtype if rows_BD.dtype == torch.bfloat16 else torch.float32
        padded = rows_BD.new_zeros(self.padded_rows, self.num_features, dtype=dtype)
        padded[: self.num_rows] = rows_BD
        if dtype == torch.bfloat16:  # the order in which `simd.load` takes them apart
            padded = padded.view(self.number, 2, -1, self.num_features).transpose(1, 2)
        panels_PDW = padded.reshape(self.number, self.lanes, self.num_features).transpose(1, 2)
        return array(panels_PDW.reshape(-1))

    def partials(self, num_labels: int) -> tuple[list[tuple[int, int]], Tensor]:
        """Slices of labels, few enough, and zeros for the share of each in dX, flat panels a row."""
        size = self.padded_rows * self.num_features
        parts = slices(num_labels, min(SLICES, max(1, PARTIAL_BYTES // (4 * size))))
        return parts, torch.zeros(len(parts), size)

    def total(self, partials: Tensor) -> Tensor:
        """The rows [B, D] that the partial panels sum to, slice by slice in order."""
        sums = partials[0]
        for partial in partials[1:]:
            sums += partial
        panels_PWD = sums.view(self.number, self.num_features, self.lanes).transpose(1, 2)
        return panels_PWD.reshape(-1, self.num_features)[: self.num_rows].contiguous()


def array(tensor: Tensor) -> NDArray[Any]:
    """The tensor's memory as an array, made contiguous if it is not; 16-bit floats come as their bits."""
    tensor = tensor.detach().contiguous()
    bits: Tensor = tensor.view(torch.uint16) if tensor.dtype in (torch.bfloat16, torch.float16) else tensor
    values: NDArray[Any] = bits.numpy()
    return values


class Layer(NamedTuple):
    """The layer's memory: bits of weight and momentum (empty: none) with their kinds, bias (empty: none).

    Bits are uint16 [L, K], or [L, 2K] for float32; `rounding_numba.KINDS` says what they stand for.
    """

    weight: Bits
    kind: int
    indices: Index
    bias: Floats
    momentum: Bits
    momentum_kind: int


def layer_of(
    weight_LK: Tensor, index_LK: Tensor, bias_L: Tensor | None = None, momentum_LK: Tensor | None = None
) -> Layer:
    """The tensors' own memory where they are contiguous."""
    weight, kind = array(weight_LK).view(np.uint16), KINDS[weight_LK.dtype]
    bias = np.empty(0, np.float32) if bias_L is None else array(bias_L)
    momentum, momentum_kind = weight[:0], kind
    if momentum_LK is not None:
        momentum, momentum_kind = array(momentum_LK).view(np.uint16), KINDS[momentum_LK.dtype]
    return Layer(weight, kind, array(index_LK), bias, momentum, momentum_kind)


@compiled
def borrowed_layer(layer: Layer) -> Layer:
    """The layer, its arrays `borrowed`."""
    return Layer(
        borrowed(layer.weight),
        layer.kind,
        borrowed(layer.indices),
        borrowed(layer.bias),
        borrowed(layer.momentum),
        layer.momentum_kind,
    )
