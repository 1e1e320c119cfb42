"""The k best labels of each row, chunk by chunk of labels, in bounded memory; ties go to the lower id."""

from torch import Tensor

from xmcpipe.modeling.heads import Head
from xmcpipe.modeling.model import Model
from xmcpipe.ops.layer import SparseLayer
from xmcpipe.ops.topk import Best, best_of, merge, topk
from xmcpipe.ops.word_layer import BatchWords


def top_labels_of(
    model: Model, features_BD: Tensor, k: int, label_chunk: int, words: BatchWords | None = None
) -> Best:
    """`top_labels` among all labels of `model`, those with a head of their own too."""
    best = top_labels(model.head, features_BD, k, label_chunk, words)
    if model.frequent is None:
        return best
    places_BK, scores_BK = top_labels(model.frequent.head, features_BD, k, label_chunk, words)
    # Rows of these labels in the sparse head are switched off: at most k of the rest are above them.
    return best_of(best, (model.frequent.labels[places_BK], scores_BK), k)


def top_labels(
    head: Head, features_BD: Tensor, k: int, label_chunk: int, words: BatchWords | None = None
) -> Best:
    """Labels int64 [B, k] and their scores float32 [B, k], ordered by (-score, label id).

    `features_BD`: float [B, D]. At most `label_chunk` labels are scored at a time. Labels are numbered from
    the head's first label; a head of fewer than k labels returns all of them. `words` are those of the rows,
    for a head that reads words.
    """
    k, first_label = min(k, head.num_labels), head.shape.first_label
    if head.is_sparse and words is None:
        layer = SparseLayer(head.weight, head.index, head.bias)
        return topk(features_BD, layer, k, first_label, label_chunk)
    projected_BW = head.project(features_BD)
    best: Best | None = None
    for begin, end in head.chunks(label_chunk):
        best = merge(best, head.scores(projected_BW, begin, end, words), first_label + begin, k)
    assert best is not None, "a head has at least one label"
    return best
