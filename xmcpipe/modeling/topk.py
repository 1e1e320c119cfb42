"""The k best labels of each row, chunk by chunk of labels, in bounded memory; ties go to the lower label
id.
"""

import torch
from torch import Tensor

from xmcpipe.modeling.heads import Head


def top_labels(head: Head, features_BD: Tensor, k: int, label_chunk: int) -> tuple[Tensor, Tensor]:
    """Labels int64 [B, k] and their scores float32 [B, k], ordered by (-score, label id); k is at most L.

    `features_BD`: float [B, D]. No more than `label_chunk` labels are scored at a time; labels are numbered
    from the head's first label.
    """
    k = min(k, head.num_labels)
    inner_BW = head.inner(features_BD)
    best: tuple[Tensor, Tensor] | None = None
    for begin, end in head.chunks(label_chunk):
        scores_BC = (
            head.scores(inner_BW, begin, end) + 0.0
        )  # -0.0 becomes 0.0, so that equal means equal bits
        labels_BK, scores_BK = _top_of_chunk(scores_BC, min(k, end - begin))
        labels_BK = labels_BK + begin + head.shape.first_label
        if best is not None:
            labels_BK = torch.cat([best[0], labels_BK], 1)
            scores_BK = torch.cat([best[1], scores_BK], 1)
        best = _ordered(labels_BK, scores_BK, k)
    assert best is not None, "a head has at least one label"
    return best


def _top_of_chunk(scores_BC: Tensor, k: int) -> tuple[Tensor, Tensor]:
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


def _ordered(labels_BN: Tensor, scores_BN: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The first k by (-score, label id): one int64 key an entry, the score's bits above, the label's
    below.
    """
    bits = scores_BN.contiguous().view(torch.int32).to(torch.int64)
    rising = torch.where(bits >= 0, bits, -(bits & 0x7FFFFFFF))  # the order of the floats
    order = ((rising << 32) - labels_BN).topk(min(k, labels_BN.shape[1]), dim=1).indices
    return labels_BN.gather(1, order), scores_BN.gather(1, order)
