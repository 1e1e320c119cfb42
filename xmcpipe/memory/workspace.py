"""What the classifier's operators allocate while they run, beside operands and results.

On a CPU that is found by running them: on zeros, and on no more labels than they take at a time. On a GPU it
is reckoned from how the kernels are launched (`ops/cuda/step.py`, `ops/cuda/ffi.py`, `ops/cuda/rewire.py`),
for the card that is stated here: others have fewer multiprocessors and a smaller cache, so need less.

B rows, D features, L labels, K fan-in.
"""

from typing import Any

import torch
from torch import Tensor

from xmcpipe.memory.live_bytes import LiveBytes
from xmcpipe.ops.cuda.rows import LANE_ROWS, MAX_GROUP, padded
from xmcpipe.ops.cuda.step import FEATURES_A_PLACE
from xmcpipe.ops.cuda.step_chunks import CACHE_SHARE
from xmcpipe.ops.ffi_torch import TILE_VALUES
from xmcpipe.ops.nvrtc.table import KERNELS
from xmcpipe.ops.topology import INDEX_DTYPE, chunk_rows, regrow

MULTIPROCESSORS, CACHE_BYTES = 132, 50 << 20  # of an H100
BLOCKS = 4  # of ffi_grad_features that run at once on a multiprocessor
SHARE_VALUES = 64 * 256  # of dX that one of them sums up: rows x features
MOST_ROWS = LANE_ROWS * MAX_GROUP  # that a block takes
PASS_ROWS, PASS_FEATURES = (max(dict(KERNELS["ffi_step"].macros)[name]) for name in ("BATCH", "FEATURES"))
HISTOGRAM_BYTES = 4 * 8 * (1 << 21)  # bits of |weight| as int64, a piece of the layer at a time, four times
TIE_BYTES = 2 * 8  # of each label: ties in the row, and before it
SAMPLE_LABELS = 1 << 14  # enough for each slice of labels to be as large as it gets


def classifier_workspace_bytes(
    num_rows: int, num_features: int, num_labels: int, fan_in: int, value_bytes: int, label_chunk: int
) -> int:
    """Of `ffi_step_` on a GPU: x^T, shares of dX, and by chunks their gradient (and dW of a large batch).

    `value_bytes`: of a weight and of a feature.
    """
    stride = padded(num_rows)
    if _in_one_pass(num_rows, num_features, fan_in, value_bytes):
        blocks = MULTIPROCESSORS * max(PASS_FEATURES // num_features, 1)
        return value_bytes * num_features * stride + 4 * blocks * num_rows * num_features
    cached = int(CACHE_SHARE * CACHE_BYTES / (fan_in * (value_bytes + 2) + 4 * stride))
    chunk = min(label_chunk, max(cached, 1024), num_labels)
    sums = fan_in if stride > MOST_ROWS else 0
    return value_bytes * num_features * stride + 4 * chunk * (stride + sums) + _shares(num_rows, num_features)


def _in_one_pass(num_rows: int, num_features: int, fan_in: int, value_bytes: int) -> bool:
    """Whether the step is taken so on that card (`ops/cuda/step.py`)."""
    fits = num_rows <= PASS_ROWS and num_features <= PASS_FEATURES and value_bytes == 2
    return fits and fan_in * FEATURES_A_PLACE >= num_features


def workspace_on_gpu(name: str, args: tuple[Any, ...]) -> int:
    """Of the operator called `name` with these arguments."""
    first: Tensor = args[0]
    second: Tensor = args[1]
    num_rows, width = first.shape
    if name == "ffi_step_":
        num_labels, fan_in = second.shape
        return classifier_workspace_bytes(
            num_rows, width, num_labels, fan_in, second.element_size(), args[-1]
        )
    if name == "ffi_scores":
        return first.element_size() * width * padded(num_rows)
    by_label = 4 * width * padded(num_rows)  # the gradient's transpose
    if name == "ffi_grad_features":
        return by_label + _shares(num_rows, args[3])
    return by_label + second.element_size() * second.shape[1] * padded(num_rows)


def workspace_on_cpu(func: Any, args: tuple[Any, ...]) -> int:
    """Of the operator `func` with these arguments, whose values don't count."""
    labels = next(len(value) for value in args if isinstance(value, Tensor) and value.dtype == INDEX_DTYPE)
    features = next((value for value in args[3:4] if isinstance(value, int)), args[0].shape[1])
    most = min(labels, max(SAMPLE_LABELS, 2 * TILE_VALUES // features))
    sample = tuple(_zeros(value, labels, most) for value in args)
    meter = LiveBytes()
    with torch.no_grad(), meter:
        results = func(*sample)
    workspace = meter.peak - meter.live  # operands and results are still held
    del results
    return workspace


def rewiring_bytes(device: str, num_labels: int, num_features: int, fan_in: int) -> int:
    """Of a rewiring: the histograms of a cut, then the regrowth, some rows at a time."""
    if device == "cuda":
        return max(HISTOGRAM_BYTES, TIE_BYTES * num_labels)
    rows = min(chunk_rows(num_features), num_labels)
    meta = torch.device("meta")
    meter = LiveBytes()
    with meter:
        pruned = torch.empty(rows, fan_in, dtype=torch.bool, device=meta)
        labels = torch.empty(rows, dtype=torch.int64, device=meta)
        regrow(torch.empty(rows, fan_in, dtype=INDEX_DTYPE, device=meta), pruned, 0, 1, labels, num_features)
    return max(HISTOGRAM_BYTES, meter.peak)


def _shares(num_rows: int, num_features: int) -> int:
    """Bytes of the shares of dX, float32: all blocks that run at once have one each."""
    return 4 * max(MULTIPROCESSORS * BLOCKS * SHARE_VALUES, num_rows * num_features)


def _zeros(value: Any, labels: int, most: int) -> Any:
    """A tensor of zeros in memory like `value`, with `most` labels where that has `labels`."""
    if not isinstance(value, Tensor):
        return value
    shape = [most if size == labels else size for size in value.shape]
    return torch.zeros(shape, dtype=value.dtype)
