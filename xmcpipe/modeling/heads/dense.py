"""The dense head: each label reads every feature."""

from torch import Tensor

from xmcpipe.modeling.heads.base import Device, Head, HeadShape


class DenseHead(Head):
    """A dense layer, weight [n, W]; W is D unless a subclass passes another `width`."""

    def __init__(self, shape: HeadShape, device: Device, width: int | None = None) -> None:
        super().__init__(shape, device, width or shape.in_features)

    def backward(
        self, grad_scores_BC: Tensor, projected_BW: Tensor, begin: int, end: int, grad_weight_LW: Tensor
    ) -> Tensor:
        grad_scores_BC = grad_scores_BC.to(projected_BW.dtype)
        grad_weight_LW[begin:end] = grad_scores_BC.T @ projected_BW
        return grad_scores_BC @ self.weight[begin:end].to(projected_BW.dtype)

    def _product(self, projected_BW: Tensor, begin: int, end: int) -> Tensor:
        return projected_BW @ self.weight[begin:end].to(projected_BW.dtype).T
