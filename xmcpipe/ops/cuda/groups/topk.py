"""The k best labels of each row for groups of labels, by kernels/group_topk.cu.

Each block finds the best labels of its part; a second kernel merges the lists of all parts.

B rows, L labels, k best, P parts (blocks along the labels), C places of a list.
"""

import torch
from torch import Tensor

from xmcpipe.ops.cuda.geometry import FORMATS, persistent_blocks
from xmcpipe.ops.cuda.groups.geometry import row_blocks, tiles
from xmcpipe.ops.cuda.rows import resident_blocks, transposed
from xmcpipe.ops.cuda.topk import max_blocks, merge, room_of
from xmcpipe.ops.layer import SparseLayer
from xmcpipe.ops.nvrtc.group_kernels import TILE, score_bytes
from xmcpipe.ops.nvrtc.kernel_table import KERNELS
from xmcpipe.ops.nvrtc.launch import launch


def topk(
    features_BD: Tensor, layer: SparseLayer, k: int, first_label: int, label_ids: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """See `ops.topk.ffi_topk`. Arguments are checked, `geometry.supports` accepts them, k is at most 128.

    `label_ids` int32 [L] are the numbers of the labels; without them they count from `first_label`.
    """
    features_DB, num_rows, device = transposed(features_BD), len(features_BD), features_BD.device
    stride, room = features_DB.shape[1], room_of(k)
    macros = {"WEIGHT": FORMATS[layer.weight.dtype], "GROUP_SIZE": layer.group, "ROOM": room}
    variant = KERNELS["group_topk"].variant(**macros)
    shared, blocks_of_rows = score_bytes(dict(variant.macros)), row_blocks(stride)
    resident = resident_blocks(variant, device, shared)
    blocks = persistent_blocks(resident, tiles(layer.num_labels), blocks_of_rows)
    blocks = min(blocks, max_blocks(device, k))
    keys_PBC = torch.empty(blocks, num_rows, TILE + room, dtype=torch.int64, device=device)
    launch(
        variant,
        device,
        (blocks, blocks_of_rows),
        shared,
        features_DB=features_DB,
        weight_LK=layer.weight,
        index_RK=layer.index,
        bias_L=None if layer.bias is None else layer.bias.float(),
        label_ids=label_ids,
        keys_PBC=keys_PBC,
        begin=0,
        end=layer.num_labels,
        batch=num_rows,
        stride=stride,
        fan_in=layer.fan_in,
        num_best=k,
    )
    return merge(keys_PBC, k, first_label if label_ids is None else 0)
