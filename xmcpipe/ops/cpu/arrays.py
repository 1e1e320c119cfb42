"""Converts tensors to arrays for the numba kernels.

Floats of 16 bits are passed as their bits in uint16, since NumPy has no bfloat16.

L labels, K fan-in.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xmcpipe.ops.cpu.rounding import KINDS, Bits, Floats
from xmcpipe.ops.cpu.simd.compiling import compiled
from xmcpipe.ops.cpu.simd.vectors import unowned
from xmcpipe.ops.layer import SparseLayer
from xmcpipe.ops.rounding import FLOAT8

Index = NDArray[np.uint16]
Features = NDArray[np.float32] | NDArray[np.uint16]
BITS = {torch.bfloat16: torch.uint16, torch.float16: torch.uint16, FLOAT8: torch.uint8}
Width = tuple[int, ...]  # its length is the width in units of 16 lanes: see `simd/vectors.py`


def array(tensor: Tensor) -> NDArray[Any]:
    """The tensor's memory as an array, copied if not contiguous; floats of 16 and 8 bits become bits."""
    tensor = tensor.detach().contiguous()
    bits: Tensor = tensor.view(BITS[tensor.dtype]) if tensor.dtype in BITS else tensor
    values: NDArray[Any] = bits.numpy()
    return values


class LayerArrays(NamedTuple):
    """The layer's memory, with the number formats of weight and momentum; see `rounding.KINDS`.

    Bits are uint16 [L, K], or [L, 2K] for float32 and [L, K / 2] for 8 bits. Bias and momentum are empty if
    the layer has none.
    """

    weight: Bits
    kind: int
    indices: Index
    bias: Floats
    momentum: Bits
    momentum_kind: int


def arrays_of(layer: SparseLayer) -> LayerArrays:
    """The layer as arrays that share the memory of its tensors if these are contiguous."""
    weight, kind = array(layer.weight).view(np.uint16), KINDS[layer.weight.dtype]
    bias = np.empty(0, np.float32) if layer.bias is None else array(layer.bias)
    # Numba needs an array in every field, so an empty one stands for no momentum, as for no bias.
    momentum, momentum_kind = weight[:0], kind
    if layer.momentum is not None:
        momentum, momentum_kind = array(layer.momentum).view(np.uint16), KINDS[layer.momentum.dtype]
    return LayerArrays(weight, kind, array(layer.index), bias, momentum, momentum_kind)


@compiled
def unowned_layer(layer: LayerArrays) -> LayerArrays:
    """The layer with each array `unowned` (see `simd/vectors.py`)."""
    return LayerArrays(
        unowned(layer.weight),
        layer.kind,
        unowned(layer.indices),
        unowned(layer.bias),
        unowned(layer.momentum),
        layer.momentum_kind,
    )
