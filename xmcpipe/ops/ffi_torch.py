"""The fixed fan-in products in plain torch, on any device: load as sparse, compute as dense.

The weights of some labels are scattered into one reused dense tile [T, D], and BLAS multiplies it. So time is
that of a dense layer, and memory that of the sparse one. `ffi.Products` defines the functions.

B rows, D features, L labels, K fan-in, T labels of a tile.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from xmcpipe.ops.layer import SparseLayer, whole_groups
from xmcpipe.ops.rounding import decoded

TILE_VALUES = 1 << 22  # values of a dense tile: 16 MiB in float32


def tiles(
    num_labels: int, num_features: int, max_labels: int = 0, group: int = 1
) -> Iterator[tuple[int, int]]:
    """[begin, end) of the labels of each tile: TILE_VALUES values, at most `max_labels` labels (0: any).

    A tile has whole groups of labels, at least one.
    """
    rows = TILE_VALUES // num_features
    rows = min(rows, max_labels) if max_labels else rows
    rows = whole_groups(rows, group)
    for begin in range(0, num_labels, rows):
        yield begin, min(begin + rows, num_labels)


class DenseTile:
    """One reused dense tile [T, D] of weights, with the dtype and device of `like`."""

    def __init__(self, like: Tensor, layer: SparseLayer, num_features: int, max_labels: int = 0) -> None:
        bounds = tiles(layer.num_labels, num_features, max_labels, layer.group)
        rows = next((end for _, end in bounds), 0)
        self._values = like.new_empty(rows, num_features)

    def fill(self, weight_TK: Tensor, index_TK: Tensor) -> Tensor:
        """Scatter the weights to their features, with zeros elsewhere: [T, D]. `index_TK` is int64.

        The result is valid until the next call of a method.
        """
        tile_TD = self._values[: len(weight_TK)].zero_()
        return tile_TD.scatter_(1, index_TK, decoded(weight_TK, tile_TD.dtype))

    def product(self, grad_BT: Tensor, features_BD: Tensor) -> Tensor:
        """grad^T @ features, [T, D], which overwrites the tile. Valid until the next call of a method."""
        return torch.mm(grad_BT.T, features_BD, out=self._values[: grad_BT.shape[1]])


def scores(features_BD: Tensor, layer: SparseLayer, out_BL: Tensor) -> None:
    """score[b, l] = sum_k weight[l, k] * x[b, index[l, k]]."""
    features_BD, num_features = features_BD.to(out_BL.dtype), features_BD.shape[1]
    tile = DenseTile(out_BL, layer, num_features)
    for begin, end in tiles(layer.num_labels, num_features, group=layer.group):
        part = layer.part(begin, end)
        out_BL[:, begin:end] = features_BD @ tile.fill(part.weight, part.index_of_labels()).T


def grad_features(grad_BL: Tensor, layer: SparseLayer, out_BD: Tensor) -> None:
    """dX[b, :] = sum_l grad[b, l] * weight[l, :] scattered at index."""
    out_BD.zero_()
    tile = DenseTile(out_BD, layer, out_BD.shape[1])
    for begin, end in tiles(layer.num_labels, out_BD.shape[1], group=layer.group):
        part = layer.part(begin, end)
        tile_TD = tile.fill(part.weight, part.index_of_labels())
        out_BD.addmm_(grad_BL[:, begin:end].to(out_BD.dtype), tile_TD)


def grad_weight(grad_BL: Tensor, features_BD: Tensor, out: SparseLayer) -> None:
    """dW[l, k] = sum_b grad[b, l] * x[b, index[l, k]]."""
    dtype, num_features = out.weight.dtype, features_BD.shape[1]
    features_BD, tile = features_BD.to(dtype), DenseTile(out.weight, out, num_features)
    for begin, end in tiles(out.num_labels, num_features, group=out.group):
        part = out.part(begin, end)
        # BLAS computes the dense dW of the whole tile, faster than the K values of each label one by one.
        tile_TD = tile.product(grad_BL[:, begin:end].to(dtype), features_BD)
        torch.gather(tile_TD, 1, part.index_of_labels(), out=part.weight)
