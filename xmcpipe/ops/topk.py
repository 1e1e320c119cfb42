"""The k best labels of each row as a PyTorch operator, chunk by chunk of labels: no [B, L] tensor.

Labels are in the order of (-score, label id), so that the result is a function of the scores alone, on any
device and in any chunks; -0.0 counts as 0.0.

B rows, D features, L labels, K fan-in, C labels of a chunk, N candidates, k best.
"""

import torch
from torch import Tensor

from xmcpipe.ops.dispatch import on_cuda
from xmcpipe.ops.ffi import check_floats, check_index, check_rows, ffi_scores

Best = tuple[Tensor, Tensor]
MOST_ON_CUDA = 128  # of kernels/ffi_topk.cu


def check(features: Tensor, weight: Tensor, index: Tensor, bias: Tensor | None, k: int, chunk: int) -> None:
    """Raise ValueError unless the arguments are those of `ffi_topk`."""
    check_rows(features, "features")
    check_index(weight, index, features.shape[1])
    check_floats(features, weight)
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"bias [{len(weight)}] is wanted, got {list(bias.shape)}")
    if not 1 <= k <= len(weight):
        raise ValueError(f"k from 1 to L = {len(weight)} is wanted, got {k}")
    if chunk < 1:
        raise ValueError(f"label_chunk of at least 1 is wanted, got {chunk}")


@torch.library.custom_op("xmcpipe::ffi_topk", mutates_args=())
def ffi_topk(
    features: Tensor,
    weight: Tensor,
    index: Tensor,
    bias: Tensor | None,
    k: int,
    first_label: int,
    label_chunk: int,
) -> tuple[Tensor, Tensor]:
    """Labels int64 [B, k] and their scores float32 [B, k], ordered by (-score, label id); 1 <= k <= L.

    `features` [B, D], `weight` [L, K], `index` uint16 [L, K], `bias` [L]. Labels are numbered from
    `first_label`; no more than `label_chunk` are scored at a time. Raises ValueError for other shapes or
    dtypes.
    """
    check(features, weight, index, bias, k, label_chunk)
    if k <= MOST_ON_CUDA and on_cuda(index, features, weight):
        from xmcpipe.ops.cuda import topk as topk_cuda

        return topk_cuda.topk(features, weight, index, bias, k, first_label)
    best: Best | None = None
    for begin in range(0, len(weight), label_chunk):
        end = min(begin + label_chunk, len(weight))
        scores_BC = ffi_scores(features, weight[begin:end], index[begin:end]).float()
        if bias is not None:
            scores_BC += bias[begin:end]
        best = merge(best, scores_BC, first_label + begin, k)
    assert best is not None, "k >= 1, so that there is a label"
    return best


def _empty_topk(
    features: Tensor,
    weight: Tensor,
    index: Tensor,
    bias: Tensor | None,
    k: int,
    first_label: int,
    label_chunk: int,
) -> tuple[Tensor, Tensor]:
    check(features, weight, index, bias, k, label_chunk)
    shape = (len(features), k)
    return features.new_empty(shape, dtype=torch.int64), features.new_empty(shape, dtype=torch.float32)


def merge(best: Best | None, scores_BC: Tensor, first: int, k: int) -> Best:
    """The k best (labels, scores) of `best` (None: none yet) and a chunk of scores, overwritten.

    `scores_BC` float32, of the labels from `first` on. Fewer than k while fewer have been seen.
    """
    scores_BC += 0.0  # -0.0 becomes 0.0, so that equal means equal bits
    columns_BN, scores_BN = _top_of_chunk(scores_BC, min(k, scores_BC.shape[1]))
    labels_BN = columns_BN + first
    if best is not None:
        labels_BN = torch.cat([best[0], labels_BN], 1)
        scores_BN = torch.cat([best[1], scores_BN], 1)
    return _ordered(labels_BN, scores_BN, k)


def _top_of_chunk(scores_BC: Tensor, k: int) -> Best:
    """The k best columns of a chunk, in any order.

    `topk` picks any of equal scores: rows where the cut falls between equal ones (rare) are done again by a
    key that holds the column too.
    """
    width = min(k + 1, scores_BC.shape[1])
    scores, columns = scores_BC.topk(width, dim=1)
    if width > k:
        tied = (scores[:, k - 1] == scores[:, k]).nonzero().squeeze(1)
        scores, columns = scores[:, :k], columns[:, :k]
        if len(tied):
            every = torch.arange(scores_BC.shape[1], device=scores_BC.device).expand(len(tied), -1)
            columns[tied], scores[tied] = _ordered(every, scores_BC[tied], k)
    return columns, scores


def _ordered(labels_BN: Tensor, scores_BN: Tensor, k: int) -> Best:
    """The first k by (-score, label id): one int64 key an entry, the score's bits above, the label's
    below.
    """
    bits = scores_BN.contiguous().view(torch.int32).to(torch.int64)
    rising = torch.where(bits >= 0, bits, -(bits & 0x7FFFFFFF))  # the order of the floats
    order = ((rising << 32) - labels_BN).topk(min(k, labels_BN.shape[1]), dim=1).indices
    return labels_BN.gather(1, order), scores_BN.gather(1, order)


ffi_topk.register_fake(_empty_topk)
