"""The bottleneck head, the dense baseline of the sparse one: both have the same number of parameters."""

import torch
from torch import Tensor, nn

from xmcpipe.modeling.heads.base import Device, HeadShape
from xmcpipe.modeling.heads.dense import DenseHead


class BottleneckHead(DenseHead):
    """A dense layer D -> W, then a dense layer W -> L.

    W is chosen so that both layers together have as many parameters as an FFI layer of the shape's fan-in:
    W (D + L) = K L.
    """

    def __init__(self, shape: HeadShape, device: Device) -> None:
        labels = shape.total_labels or shape.num_labels
        width = max(1, round(labels * shape.fan_in / (labels + shape.in_features)))
        super().__init__(shape, device, width)
        # Drawn by torch's own generator on the CPU, so that a seed gives the same values on every device.
        self.projection = nn.Linear(shape.in_features, width, bias=False).to(device)

    def project(self, features_BD: Tensor) -> Tensor:
        return torch.nn.functional.linear(features_BD, self.projection.weight.to(features_BD.dtype))
