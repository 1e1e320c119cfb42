"""The smallest new head: label l reads feature l mod D only. All that a new head needs is in this file."""

import torch
from torch import Tensor

from xmcpipe.modeling.heads.base import Device, Head, HeadShape


class DiagonalHead(Head):
    """weight [n, 1]: label l scores x[l mod D] * w[l]."""

    def __init__(self, shape: HeadShape, device: Device) -> None:
        super().__init__(shape, device, 1)

    def grad_weight(self, grad_scores_BC: Tensor, projected_BW: Tensor, begin: int, end: int) -> Tensor:
        return (grad_scores_BC * projected_BW[:, self._columns(begin, end)]).sum(0).unsqueeze(1)

    def grad_projected(self, grad_scores_BC: Tensor, projected_BW: Tensor, begin: int, end: int) -> Tensor:
        columns_C, weight_C = self._columns(begin, end), self.weight[begin:end, 0].float()
        grad_projected_BW = torch.zeros_like(projected_BW, dtype=torch.float32)
        return grad_projected_BW.index_add(1, columns_C, grad_scores_BC * weight_C)

    def _product(self, projected_BW: Tensor, begin: int, end: int) -> Tensor:
        return projected_BW[:, self._columns(begin, end)] * self.weight[begin:end, 0]

    def _columns(self, begin: int, end: int) -> Tensor:
        """The feature that each label of a chunk reads, int64 [C]."""
        return self.label_ids(begin, end) % self.shape.in_features
