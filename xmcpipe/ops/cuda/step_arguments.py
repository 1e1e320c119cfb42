"""The arguments that both designs of the step pass to their kernels."""

from torch import Tensor

from xmcpipe.ops.layer import Positives, SparseLayer, Update
from xmcpipe.ops.losses.loss import loss_named, unsupported
from xmcpipe.ops.losses.loss_table import LOSSES
from xmcpipe.ops.nvrtc.arguments import Argument


def loss_code(loss: str) -> int:
    """The macro LOSS for a loss. Raises XmcpipeError if no kernel computes it."""
    code = loss_named(loss).kernel_code
    if code is None:
        supported = [name for name in LOSSES if loss_named(name).kernel_code is not None]
        raise unsupported(loss, "the CUDA step", supported)
    return code


def momentum_kind(weight: Tensor, momentum: Tensor | None) -> int:
    """The macro MOMENTUM: 0 for none, 1 for the weight's format, 2 for bfloat16 if the weight's differs."""
    return 0 if momentum is None else 1 if momentum.dtype == weight.dtype else 2


def positive_arguments(positives: Positives) -> dict[str, Argument]:
    """The kernel parameters of the positives."""
    rows, labels = positives
    return {"positive_rows": rows, "positive_labels": labels, "num_positives": len(rows)}


def update_arguments(layer: SparseLayer, update: Update) -> dict[str, Argument]:
    """The kernel parameters of an update: the tensors that it writes, and its numbers."""
    numbers = update._asdict()
    del numbers["label_chunk"]  # it sizes the grid, but no kernel has such a parameter
    state = {"weight_LK": layer.weight, "momentum_LK": layer.momentum, "bias_L": layer.bias}
    return {**state, **numbers}
