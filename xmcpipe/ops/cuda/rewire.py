"""Rewiring on kernels/ffi_rewire.cu, in place. L labels, K fan-in."""

import torch
from torch import Tensor

from xmcpipe.ops.cuda.rows import FORMATS
from xmcpipe.ops.nvrtc.launch import blocks_per_multiprocessor, launch
from xmcpipe.ops.nvrtc.table import KERNELS

SLACK = 256  # of kernels/ffi_rewire.cu: keys collected at most, beyond the fan-in
ROWS_OF_COUNT = 8  # of a block that counts ties
KEY_BYTES, CHOSEN_BYTES = 8, 2


def rewire_(
    weight_LK: Tensor,
    index_LK: Tensor,
    moments: list[Tensor],
    bits: int,
    ties: int,
    seed: int,
    rewiring: int,
    first_label: int,
    num_features: int,
) -> Tensor:
    """As `ffi_rewire_`, whose arguments are checked; up to two moments, of one dtype."""
    (num_labels, fan_in), device = weight_LK.shape, weight_LK.device
    weight_format = FORMATS[weight_LK.dtype]
    ties_before_L = None
    if ties:
        counter = KERNELS["ffi_rewire_ties"].variant(WEIGHT=weight_format)
        counts = torch.zeros(num_labels + 1, dtype=torch.int64, device=device)
        launch(
            counter, device, (min(-(-num_labels // ROWS_OF_COUNT), 65_535),), counter.threads, 0,
            weight_LK, counts[1:], bits, 0, num_labels, fan_in,
        )  # fmt: skip
        ties_before_L = torch.cumsum(counts, 0, out=counts)[:num_labels]
    moment_format = FORMATS[moments[0].dtype] if moments else weight_format
    variant = KERNELS["ffi_rewire"].variant(WEIGHT=weight_format, MOMENT=moment_format)
    shared = KEY_BYTES * (fan_in + SLACK) + CHOSEN_BYTES * fan_in + 4 * (-(-num_features // 32))
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    blocks = min(num_labels, processors * blocks_per_multiprocessor(variant, device, shared))
    replaced = torch.empty(blocks, dtype=torch.int64, device=device)
    first, second = [*moments, None, None][:2]
    launch(
        variant, device, (blocks,), variant.threads, shared,
        weight_LK, index_LK, first, second, ties_before_L, replaced,
        bits, ties, seed, rewiring, first_label, 0, num_labels, num_features, fan_in,
    )  # fmt: skip
    return replaced.sum()
