"""The k best labels on kernels/ffi_topk.cu: no scores of more than a tile of labels exist.

B rows, D features, L labels, K fan-in.
"""

import torch
from torch import Tensor

from xmcpipe.ops.cuda.rows import FORMATS, LANE_ROWS, gathering, persistent, transposed
from xmcpipe.ops.nvrtc.launch import launch, load
from xmcpipe.ops.nvrtc.table import KERNELS

MERGED_KEYS = 32_768
SMALL_ROOM, LARGE_ROOM = 128, 256  # keys that a row's list holds beyond a tile's


def topk(
    features_BD: Tensor, weight_LK: Tensor, index_LK: Tensor, bias_L: Tensor | None, k: int, first_label: int
) -> tuple[Tensor, Tensor]:
    """As `ffi_topk`, whose arguments are checked and such as `cuda_rows.takes`; k is at most 128."""
    features_DB, (num_labels, fan_in), batch = transposed(features_BD), weight_LK.shape, len(features_BD)
    (num_features, stride), device = features_DB.shape, features_DB.device
    macros = {"WEIGHT": FORMATS[weight_LK.dtype], "ROOM": SMALL_ROOM if 2 * k <= SMALL_ROOM else LARGE_ROOM}
    if batch == 1:
        shared, group, row_blocks = num_features * features_DB.element_size(), 1, 1
        macros |= {"FEATURE": FORMATS[features_DB.dtype], "GROUP": 1, "ONE_ROW": 1}
        variant = KERNELS["ffi_topk"].variant(**macros, SHARED=1)
        if shared > load(variant, device).shared:
            variant, shared = KERNELS["ffi_topk"].variant(**macros, SHARED=0), 0
    else:
        variant, shared, group = gathering("ffi_topk", features_DB, **macros)
        row_blocks = -(-stride // (LANE_ROWS * group))
    tile = variant.threads // group
    capacity = tile + macros["ROOM"]
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    most = max(processors, MERGED_KEYS // k)  # one block merges a row's: it should not become the longer part
    blocks = min(persistent(variant, device, shared, -(-num_labels // tile), row_blocks), most)
    keys_PBC = torch.empty(blocks, batch, capacity, dtype=torch.int64, device=device)
    launch(
        variant, device, (blocks, row_blocks), variant.threads, shared,
        features_DB, weight_LK, index_LK, None if bias_L is None else bias_L.float(), keys_PBC,
        0, num_labels, batch, stride, num_features, fan_in, k,
    )  # fmt: skip
    labels_BN = torch.empty(batch, k, dtype=torch.int64, device=device)
    scores_BN = torch.empty(batch, k, dtype=torch.float32, device=device)
    merge = KERNELS["ffi_topk_merge"].variant()
    launch(
        merge, device, (batch,), merge.threads, 0,
        keys_PBC, labels_BN, scores_BN, first_label, blocks, batch, capacity, k,
    )  # fmt: skip
    return labels_BN, scores_BN
