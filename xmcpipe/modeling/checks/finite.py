"""Checks that the weights of a model that was read from a file are numbers.

A training that diverges is not published, but a stranger's model, or one of an older version, may hold NaN or
infinity. Scores would be refused later, where there are some; a grown model or an ONNX graph has none.
"""

from pathlib import Path

import torch
from torch import Tensor

from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling.model import Model
from xmcpipe.ops.rounding import decoded

PIECE = 1 << 20  # number of weights that are checked at a time


def require_finite_weights(model: Model, path: Path) -> None:
    """Raise XmcpipeError, which names the file `path`, unless every weight of `model` is finite.

    Buffers of the encoder may be infinite: some mask positions with it.
    """
    buffers = {name for name, _ in model.encoder.named_buffers(prefix="encoder")}
    for name, tensor in model.state_dict().items():
        if name not in buffers and tensor.is_floating_point() and not is_finite(tensor):
            raise XmcpipeError(
                f"{path}: {name}: expected finite weights, got some that are not: the training diverged, or "
                "the file is damaged",
                "train again with lower rates, or get another copy",
            )


def is_finite(tensor: Tensor) -> bool:
    """Whether all stored weights of a tensor of any shape are finite.

    Each is read once; unlike `torch.isfinite`, it makes no copy of this shape.
    """
    flat = tensor.detach().flatten()
    for begin in range(0, len(flat), PIECE):
        low, high = decoded(flat[begin : begin + PIECE]).aminmax()  # NaN passes on
        if not bool(torch.isfinite(low) & torch.isfinite(high)):
            return False
    return True
