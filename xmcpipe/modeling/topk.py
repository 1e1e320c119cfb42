"""The k best labels of each row, chunk by chunk of labels, in bounded memory; ties go to the lower id."""

from torch import Tensor

from xmcpipe.modeling.heads import Head
from xmcpipe.modeling.model import Model
from xmcpipe.ops.layer import SparseLayer
from xmcpipe.ops.topk import Best, best_of, merge, topk
from xmcpipe.ops.word_layer import BatchWords


def top_labels_of(
    model: Model,
    features_BD: Tensor,
    k: int,
    label_chunk: int,
    words: BatchWords | None = None,
    added_L: Tensor | None = None,
) -> Best:
    """`top_labels` among all labels of `model`, those with a head of their own too."""
    best = top_labels(model.head, features_BD, k, label_chunk, words, added_L)
    if model.frequent is None:
        return best
    added_H = None if added_L is None else added_L[model.frequent.labels]
    places_BK, scores_BK = top_labels(model.frequent.head, features_BD, k, label_chunk, words, added_H)
    # Rows of these labels in the sparse head are switched off: at most k of the rest are above them.
    return best_of(best, (model.frequent.labels[places_BK], scores_BK), k)


def top_labels(
    head: Head,
    features_BD: Tensor,
    k: int,
    label_chunk: int,
    words: BatchWords | None = None,
    added_L: Tensor | None = None,
) -> Best:
    """Labels int64 [B, k] and their scores float32 [B, k], ordered by (-score, label id).

    `features_BD`: float [B, D]. At most `label_chunk` labels are scored at a time. Labels are numbered from
    the head's first label; a head of fewer than k labels returns all of them. `words` are those of the rows,
    for a head that reads words. `added_L` float32 [L] is added to the scores: -inf leaves a label out, as
    long as k others remain.
    """
    k, first_label, order = min(k, head.num_labels), head.shape.first_label, head.order
    added = None if added_L is None else head.at_places(added_L)
    if head.is_sparse and words is None:
        bias = head.bias if added is None else _sum(head.bias, added)
        layer = SparseLayer(head.weight, head.index, bias, group=head.shape.group)
        return topk(features_BD, layer, k, first_label, label_chunk, order)
    projected_BW = head.project(features_BD)
    best: Best | None = None
    for begin, end in head.chunks(label_chunk):
        scores_BC = head.scores(projected_BW, begin, end, words)
        scores_BC = scores_BC if added is None else scores_BC + added[begin:end]
        labels = first_label + begin if order is None else order[begin:end]
        best = merge(best, scores_BC, labels, k)
    assert best is not None, "a head has at least one label"
    return best


def _sum(bias: Tensor | None, added: Tensor) -> Tensor:
    return added if bias is None else bias + added.to(bias.dtype)
