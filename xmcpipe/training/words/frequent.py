"""Which words the frequent labels read, in a head of their own: those along which their loss falls fastest.

A word that speaks against a label tells as much as one that speaks for it. Both are found in the gradient of
the label's loss with respect to the weight of every word, also of those that it doesn't read: the sum over
all documents of tf-idf times the gradient of the score. As elsewhere (`ops.words.choice`) it is divided by
sqrt(m), where m is the mean tf-idf of the word. Before the training the score of a label is its share of the
documents; at a rewiring it is what the label has learned.

Frequent labels are few, so matrices of all words and some of the labels are affordable here.

N training documents, V words, H labels of a piece, W words that a label reads, P (label, document) pairs.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from xmcpipe.data.shards.files import Int64s
from xmcpipe.modeling.heads import Head
from xmcpipe.ops.label_documents import DocumentWords, LabelDocuments, LabelWords
from xmcpipe.ops.losses.loss import loss_named
from xmcpipe.ops.topology import to_index
from xmcpipe.ops.word_layer import MAX_WORDS, NO_WORD
from xmcpipe.ops.words.choice import SMOOTHING
from xmcpipe.training.words.scores import on_host

if TYPE_CHECKING:
    from scipy import sparse

PIECE_LABELS = 64  # of whole groups: see training/build.py
BLOCK_ROWS = 4096  # documents that are scored at a time

Floats = npt.NDArray[np.float32]
Residual = Callable[[slice, slice], Floats]
"""The gradient of the loss at the scores of documents (a slice of them) and labels, float32 [B, H]."""


def first_words(documents: DocumentWords, pairs: LabelDocuments, fan_in: int) -> npt.NDArray[np.int32]:
    """The first W = `fan_in` words of each label of `pairs`, int32 [H, W]; NO_WORD where there are fewer."""
    counts_H, num_labels = np.diff(pairs.begins), len(pairs.begins) - 1
    share_H = counts_H / max(len(documents.begins) - 1, 1)
    labels_P = np.repeat(np.arange(num_labels), counts_H)

    def residual(rows: slice, labels: slice) -> Floats:
        gradient_BH = np.repeat(share_H[None, labels].astype(np.float32), rows.stop - rows.start, 0)
        gradient_BH[_within(labels_P, pairs.documents, rows, labels)] -= 1.0
        return gradient_BH

    words = LabelWords(
        np.full((num_labels, fan_in), NO_WORD, np.uint16), np.zeros((num_labels, fan_in), np.float32), NO_WORD
    )
    _replace_weakest(words, documents, residual, fan_in)
    return words.index.astype(np.int32)


# Long: the scores of a block of documents, in the order in which they are summed.
@torch.no_grad()
def grow_words(
    head: Head,
    loss: str,
    documents: DocumentWords,
    features: Callable[[slice], Floats],
    labels_P: Int64s,
    documents_P: Int64s,
    count: int,
) -> int:
    """Let each label of `head` drop `count` words for others, in place; returns how many were chosen.

    `features` returns those of some documents, float32 [B, D]. `labels_P` (local, ascending) and
    `documents_P` are the pairs. Words with the smallest |weight| are dropped; new ones have weight 0.
    """
    layer, loss_in_place = head.word_layer, loss_named(loss).in_place
    assert layer is not None, "the head reads words"
    words, words_NV = on_host(layer), _matrix(documents)

    def residual(rows: slice, labels: slice) -> Floats:
        features_BD = torch.from_numpy(features(rows)).to(head.weight.device)
        scores_BH = head.scores(head.project(features_BD), labels.start, labels.stop).cpu()
        weight_HV = _dense(words.index[labels], words.weight[labels])
        scores_BH += torch.from_numpy(
            words_NV[rows] @ np.ascontiguousarray(weight_HV[:, : words_NV.shape[1]].T)
        )
        rows_P, columns_P = _within(labels_P, documents_P, rows, labels)
        loss_in_place(scores_BH, torch.from_numpy(rows_P), torch.from_numpy(columns_P))
        return scores_BH.numpy()

    chosen = _replace_weakest(words, documents, residual, count)
    layer.index.copy_(to_index(torch.from_numpy(words.index.astype(np.int32))))
    layer.weight.copy_(torch.from_numpy(words.weight))
    return chosen


def _replace_weakest(words: LabelWords, documents: DocumentWords, residual: Residual, count: int) -> int:
    """Replace `count` words of each label by those with the largest gradient; returns how many were chosen.

    Places without a word come first, then those with the smallest |weight|.
    """
    words_NV, chosen = _matrix(documents), 0
    scale_V = (1.0 / np.sqrt(documents.mean + SMOOTHING)).astype(np.float32)
    for labels in _slices(len(words.index), PIECE_LABELS):
        gradient_VH = np.zeros((words_NV.shape[1], labels.stop - labels.start), np.float32)
        for rows in _slices(words_NV.shape[0], BLOCK_ROWS):
            gradient_VH += words_NV[rows].T @ residual(rows, labels)
        size_HV = np.abs(gradient_VH.T) * scale_V
        for size_V, index_W, weight_W in zip(size_HV, words.index[labels], words.weight[labels], strict=True):
            has_word_W = index_W != words.none
            size_V[index_W[has_word_W].astype(np.int64)] = 0.0
            best = np.argsort(-size_V, kind="stable")[:count]
            best = best[size_V[best] > 0.0]
            strength_W = np.where(has_word_W, np.abs(weight_W), np.float32(-1.0))
            places = np.argsort(strength_W, kind="stable")[: len(best)]
            index_W[places], weight_W[places] = best.astype(index_W.dtype), 0.0
            chosen += len(best)
    return chosen


def _matrix(documents: DocumentWords) -> "sparse.csr_matrix":
    """tf-idf of the words of the documents, float32 [N, V]."""
    from scipy import sparse  # a plan, which imports this module, does without

    parts = (documents.values, documents.words.astype(np.int32), documents.begins)
    return sparse.csr_matrix(parts, (len(documents.begins) - 1, len(documents.mean)))


def _dense(index_HW: npt.NDArray[np.integer], weight_HW: Floats) -> Floats:
    """The weights of all words, float32 [H, 65,536]; the last one is that of NO_WORD."""
    weight_HV = np.zeros((len(index_HW), MAX_WORDS + 1), np.float32)
    np.put_along_axis(weight_HV, index_HW.astype(np.int64), weight_HW, 1)
    return weight_HV


def _within(labels_P: Int64s, documents_P: Int64s, rows: slice, labels: slice) -> tuple[Int64s, Int64s]:
    """Row and column of the pairs of some documents and labels, counted from the first of each."""
    low, high = np.searchsorted(labels_P, [labels.start, labels.stop])
    columns_P, rows_P = labels_P[low:high] - labels.start, documents_P[low:high] - rows.start
    inside_P = (rows_P >= 0) & (rows_P < rows.stop - rows.start)
    return rows_P[inside_P], columns_P[inside_P]


def _slices(total: int, size: int) -> Iterator[slice]:
    for begin in range(0, total, size):
        yield slice(begin, min(begin + size, total))
