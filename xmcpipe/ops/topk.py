"""The k best labels of each row as a PyTorch operator, chunk by chunk of labels: no [B, L] tensor exists.

Labels are ordered by (-score, label id). So equal scores give the same labels on every device and in any
chunks; -0.0 counts as 0.0.

B rows, D features, L labels, R rows of the index, K fan-in, N candidates, k best; [B, chunk] is a chunk of
scores, of C labels.
"""

from typing import Any

import torch
from torch import Tensor

from xmcpipe.ops.checks import check_chunk, check_index, check_matrix, sum_dtype
from xmcpipe.ops.dispatch import cuda_kernels_usable, direct
from xmcpipe.ops.ffi import scores
from xmcpipe.ops.layer import SparseLayer, whole_groups

Best = tuple[Tensor, Tensor]
MAX_K_ON_CUDA = 128  # kernels/ffi_topk.cu


def check(features: Tensor, layer: SparseLayer, k: int, label_chunk: int, ids: Tensor | None) -> None:
    """Raise ValueError unless the arguments are valid for `ffi_topk`."""
    check_matrix(features, "features")
    check_index(layer.weight, layer.index, features.shape[1], layer.group)
    sum_dtype(features, weight=layer.weight)
    if layer.bias is not None and layer.bias.shape != layer.weight.shape[:1]:
        raise ValueError(f"expected bias [{layer.num_labels}], got {list(layer.bias.shape)}")
    if not 1 <= k <= layer.num_labels:
        raise ValueError(f"expected 1 <= k <= L = {layer.num_labels}, got k = {k}")
    check_chunk(label_chunk)
    if ids is not None and (ids.dtype != torch.int32 or ids.shape != layer.weight.shape[:1]):
        raise ValueError(f"expected label_ids int32 [{layer.num_labels}], got {ids.dtype} {list(ids.shape)}")


@torch.library.custom_op("xmcpipe::ffi_topk", mutates_args=())
def ffi_topk(
    features: Tensor,
    weight: Tensor,
    index: Tensor,
    bias: Tensor | None,
    k: int,
    first_label: int,
    label_chunk: int,
    group: int = 1,
    label_ids: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Labels int64 [B, k] and their scores float32 [B, k], ordered by (-score, label id); 1 <= k <= L.

    `features` [B, D], `weight` [L, K], `index` uint16 [R, K] of groups of `group` labels, `bias` [L]. Labels
    are numbered from `first_label`, or have the ids `label_ids`, int32 [L], distinct. At most `label_chunk`,
    but whole groups, are scored at a time. Raises ValueError for other shapes or dtypes.
    """
    layer = SparseLayer(weight, index, bias, group=group)
    return _topk(features, layer, k, first_label, label_chunk, label_ids)


def topk(
    features: Tensor,
    layer: SparseLayer,
    k: int,
    first_label: int,
    label_chunk: int,
    label_ids: Tensor | None = None,
) -> Best:
    """`ffi_topk`; in inference mode without torch's registry of operators (see `ops.dispatch.direct`)."""
    if direct():
        return _topk(features, layer, k, first_label, label_chunk, label_ids)
    weight, index, bias, _, group = layer
    result: Best = ffi_topk(features, weight, index, bias, k, first_label, label_chunk, group, label_ids)
    return result


def _topk(
    features: Tensor, layer: SparseLayer, k: int, first_label: int, label_chunk: int, ids: Tensor | None
) -> Best:
    check(features, layer, k, label_chunk, ids)
    usable = k <= MAX_K_ON_CUDA and (ids is None or layer.group > 1)
    if usable and cuda_kernels_usable(layer.index, features, layer.weight, group=layer.group):
        import xmcpipe.ops.cuda.groups.topk
        import xmcpipe.ops.cuda.topk

        if layer.group > 1:
            return xmcpipe.ops.cuda.groups.topk.topk(features, layer, k, first_label, ids)
        return xmcpipe.ops.cuda.topk.topk(features, layer, k, first_label)
    best: Best | None = None
    chunk = whole_groups(label_chunk, layer.group)
    for begin in range(0, layer.num_labels, chunk):
        part = layer.part(begin, min(begin + chunk, layer.num_labels))
        scores_BC = scores(features, part.weight, part.index, layer.group).float()
        if part.bias is not None:
            scores_BC += part.bias
        labels = first_label + begin if ids is None else ids[begin : begin + chunk]
        best = merge(best, scores_BC, labels, k)
    assert best is not None, "k >= 1, so the layer has a label"
    return best


@ffi_topk.register_fake
def _empty_topk(features: Tensor, *schema: Any) -> tuple[Tensor, Tensor]:
    """Results of the right shapes; `schema` is the rest of the operator's arguments."""
    weight, index, bias, k, _, label_chunk, *rest = schema
    defaults: list[Any] = [1, None]
    group, ids = [*rest, *defaults[len(rest) :]]
    check(features, SparseLayer(weight, index, bias, group=group), k, label_chunk, ids)
    shape = (len(features), k)
    return features.new_empty(shape, dtype=torch.int64), features.new_empty(shape, dtype=torch.float32)


def merge(best: Best | None, scores: Tensor, labels: int | Tensor, k: int) -> Best:
    """The k best (labels, scores) of `best` (None for the first chunk) and of one more chunk.

    `scores` float32 [B, chunk] belong to the labels from number `labels` on, or to `labels`, integers [C].
    They are overwritten. The result has fewer than k columns until k labels have been seen.
    """
    scores += 0.0  # turns -0.0 into 0.0, so that equal values have equal bits
    labels_BN, scores_BN = _top_of_chunk(scores, labels, min(k, scores.shape[1]))
    if best is not None:
        labels_BN = torch.cat([best[0], labels_BN], 1)
        scores_BN = torch.cat([best[1], scores_BN], 1)
    return _in_order(labels_BN, scores_BN, k)


def best_of(first: Best, second: Best, k: int) -> Best:
    """The k best of two sets of labels, ordered by (-score, label id); fewer if both have fewer."""
    labels_BN, scores_BN = (torch.cat(both, 1) for both in zip(first, second, strict=True))
    return _in_order(labels_BN, scores_BN, k)


def _top_of_chunk(scores: Tensor, labels: int | Tensor, k: int) -> Best:
    """The k best labels of a chunk and their scores, in any order; `labels` as in `merge`.

    `torch.topk` may pick any of several equal scores. The few rows in which scores k and k + 1 are equal are
    selected again, by a key that includes the label.
    """
    # One more than k, to detect whether scores k and k + 1 are equal.
    width = min(k + 1, scores.shape[1])
    values, columns = scores.topk(width, dim=1)
    chosen = columns + labels if isinstance(labels, int) else labels[columns].long()
    if width > k:
        tied = (values[:, k - 1] == values[:, k]).nonzero().squeeze(1)
        values, chosen = values[:, :k], chosen[:, :k]
        if len(tied):
            if isinstance(labels, int):
                labels = torch.arange(labels, labels + scores.shape[1], device=scores.device)
            chosen[tied], values[tied] = _in_order(labels.long().expand(len(tied), -1), scores[tied], k)
    return chosen, values


def _in_order(labels_BN: Tensor, scores_BN: Tensor, k: int) -> Best:
    """The first k by (-score, label id).

    The sort key of an entry is one int64: the score's bits in its upper half, minus the label in its lower.
    """
    # For floats >= 0, larger values have larger bits; for negative ones it is the reverse.
    bits = scores_BN.contiguous().view(torch.int32).to(torch.int64)
    rising = torch.where(bits >= 0, bits, -(bits & 0x7FFFFFFF))
    order = ((rising << 32) - labels_BN).topk(min(k, labels_BN.shape[1]), dim=1).indices
    return labels_BN.gather(1, order), scores_BN.gather(1, order)
