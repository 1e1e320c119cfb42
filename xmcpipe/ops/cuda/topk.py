"""The k best labels of each row by kernels/ffi_topk.cu, which holds the scores of one tile at a time.

Each block finds the best labels of its part; a second kernel merges the lists of all parts.

B rows, D features, L labels, K fan-in, k best, P parts (blocks along the labels), N best of a row.
"""

import torch
from torch import Tensor

from xmcpipe.ops.cuda.geometry import FORMATS
from xmcpipe.ops.cuda.rows import GatherLaunch, gather_launch, transposed
from xmcpipe.ops.layer import SparseLayer
from xmcpipe.ops.nvrtc.kernel_table import KERNELS
from xmcpipe.ops.nvrtc.launch import launch, load

# Most keys of a row: one block merges them, which should not take longer than the scores.
MERGED_KEYS = 32_768
SMALL_ROOM, LARGE_ROOM = 128, 256  # values of ROOM: free places of a row's list beyond one tile


def topk(features_BD: Tensor, layer: SparseLayer, k: int, first_label: int) -> tuple[Tensor, Tensor]:
    """See `ops.topk.ffi_topk`. Arguments are checked, `rows.supports` accepts them, and k is at most 128."""
    features_DB, num_rows, device = transposed(features_BD), len(features_BD), features_BD.device
    num_features, stride = features_DB.shape
    room = room_of(k)
    macros = {"WEIGHT": FORMATS[layer.weight.dtype], "ROOM": room}
    if num_rows == 1:
        kernel, row_blocks = _one_row(features_DB, macros), 1
    else:
        kernel = gather_launch("ffi_topk", features_DB, **macros)
        row_blocks = kernel.row_blocks(stride)
    blocks = min(kernel.label_blocks(device, layer.num_labels, row_blocks), max_blocks(device, k))
    capacity = kernel.variant.threads // kernel.group + room
    keys_PBC = torch.empty(blocks, num_rows, capacity, dtype=torch.int64, device=device)
    launch(
        kernel.variant,
        device,
        (blocks, row_blocks),
        kernel.shared_bytes,
        features_DB=features_DB,
        weight_LK=layer.weight,
        index_LK=layer.index,
        bias_L=None if layer.bias is None else layer.bias.float(),
        keys_PBC=keys_PBC,
        begin=0,
        end=layer.num_labels,
        batch=num_rows,
        stride=stride,
        num_features=num_features,
        fan_in=layer.fan_in,
        num_best=k,
    )
    return merge(keys_PBC, k, first_label)


def room_of(k: int) -> int:
    """The macro ROOM. A list is cut to its k best whenever it is full: places for 2k keys make that rare."""
    return SMALL_ROOM if 2 * k <= SMALL_ROOM else LARGE_ROOM


def max_blocks(device: torch.device, k: int) -> int:
    """The grid fills the card, unless merging that many lists would take longer than the scores."""
    return max(torch.cuda.get_device_properties(device).multi_processor_count, MERGED_KEYS // k)


def _one_row(features_DB: Tensor, macros: dict[str, int]) -> GatherLaunch:
    """How to launch the kernel for a single row: each lane computes a whole label."""
    shared = features_DB.shape[0] * features_DB.element_size()
    macros = macros | {"FEATURE": FORMATS[features_DB.dtype], "GROUP": 1, "ONE_ROW": 1}
    variant = KERNELS["ffi_topk"].variant(**macros, SHARED=1)
    if shared > load(variant, features_DB.device).shared:
        variant, shared = KERNELS["ffi_topk"].variant(**macros, SHARED=0), 0
    return GatherLaunch(variant, shared, group=1)


def merge(keys_PBC: Tensor, k: int, first_label: int) -> tuple[Tensor, Tensor]:
    """Labels and scores [B, k] from the lists of all parts."""
    blocks, num_rows, capacity = keys_PBC.shape
    labels_BN = torch.empty(num_rows, k, dtype=torch.int64, device=keys_PBC.device)
    scores_BN = torch.empty(num_rows, k, dtype=torch.float32, device=keys_PBC.device)
    launch(
        KERNELS["ffi_topk_merge"].variant(),
        keys_PBC.device,
        (num_rows,),
        0,
        keys_PBC=keys_PBC,
        labels_BN=labels_BN,
        scores_BN=scores_BN,
        first_label=first_label,
        parts=blocks,
        batch=num_rows,
        capacity=capacity,
        num_best=k,
    )
    return labels_BN, scores_BN
