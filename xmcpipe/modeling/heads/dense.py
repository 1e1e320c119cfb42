"""The dense head: each label reads every feature."""

from torch import Tensor

from xmcpipe.modeling.heads.base import Device, Head, HeadShape


class DenseHead(Head):
    """A dense layer, weight [n, W]; W is D unless a subclass passes another `width`."""

    def __init__(self, shape: HeadShape, device: Device, width: int | None = None) -> None:
        super().__init__(shape, device, width or shape.in_features)

    def grad_weight(self, grad_scores_BC: Tensor, projected_BW: Tensor, begin: int, end: int) -> Tensor:
        return grad_scores_BC.to(projected_BW.dtype).T @ projected_BW

    def grad_projected(self, grad_scores_BC: Tensor, projected_BW: Tensor, begin: int, end: int) -> Tensor:
        dtype = projected_BW.dtype
        return grad_scores_BC.to(dtype) @ self.weight[begin:end].to(dtype)

    def _product(self, projected_BW: Tensor, begin: int, end: int) -> Tensor:
        return projected_BW @ self.weight[begin:end].to(projected_BW.dtype).T
