"""The rows that labels take over from another model, with the features and words that they read.

n shared labels, D features, K fan-in, K' and W words of a label, G labels of a group.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xmcpipe.modeling.heads import Head
from xmcpipe.modeling.heads.base import all_chunks
from xmcpipe.modeling.model import Model
from xmcpipe.ops.rounding import decoded, encoded
from xmcpipe.ops.topology import chunk_rows, to_index
from xmcpipe.ops.word_layer import NO_WORD

Int64s = npt.NDArray[np.int64]
MERGED_ROWS = 256  # labels whose words are merged at a time


def start_rows(model: Model, old: Model, new_n: Int64s, old_n: Int64s) -> None:
    """Copy the rows of the labels `new_n`, whose ids in the old model are `old_n`."""
    new_place, old_place = _frequent_places(model), _frequent_places(old)
    was_n, is_n = old_place[old_n] >= 0, new_place[new_n] >= 0
    words = _new_words(model, old)
    sparse_new, sparse_old = (
        _places(model.head, new_n[~was_n & ~is_n]),
        _places(old.head, old_n[~was_n & ~is_n]),
    )
    if model.head.shape.group == 1:
        _copy(model.head, old.head, sparse_new, sparse_old, words)
    else:
        _copy_features(model.head, old.head, sparse_new, sparse_old)
        _spread(model.head, old.head, sparse_new, sparse_old, words)
    if model.frequent is None:
        return
    head, both, now = model.frequent.head, was_n & is_n, ~was_n & is_n
    if old.frequent is not None:
        _copy(head, old.frequent.head, new_place[new_n[both]], old_place[old_n[both]], words)
    if frequent_features(model) == "all":  # otherwise they had none of the features that they read now
        _spread(head, old.head, new_place[new_n[now]], _places(old.head, old_n[now]), words)


def frequent_features(model: Model) -> str:
    """ "own" if frequent labels have features of their own, else "all"."""
    return "own" if model.frequent is not None and model.frequent.head.shape.first_feature else "all"


def _places(head: Head, labels: Int64s) -> Int64s:
    """The places of some labels in a head, given their ids."""
    found: Int64s = head.places_of(torch.from_numpy(labels).to(head.weight.device)).cpu().numpy()
    return found


def _frequent_places(model: Model) -> Int64s:
    """The place of each label in the head of frequent labels, int64 [L]; -1 for all others."""
    place_L = np.full(model.head.num_labels, -1, np.int64)
    if model.frequent is not None:
        labels_H = model.frequent.labels.cpu().numpy()
        place_L[labels_H] = np.arange(len(labels_H))
    return place_L


def _copy(new: Head, old: Head, new_n: Int64s, old_n: Int64s, words: Int64s | None) -> None:
    """Copy rows of a head that reads as many features."""
    target, source = torch.from_numpy(new_n).to(new.weight.device), torch.from_numpy(old_n)
    values = decoded(old.weight[source], torch.float32)
    new.weight[target] = encoded(values, new.weight.dtype).to(new.weight.device)
    if new.is_sparse:  # the same bits as int16: torch can't index uint16 on CUDA
        index = old.index.view(torch.int16)[source].to(new.index.device)
        new.index.view(torch.int16)[target] = index
    _copy_bias(new, old, target, source)
    _copy_words(new, old, new_n, old_n, words)


def _copy_features(new: Head, old: Head, new_n: Int64s, old_n: Int64s) -> None:
    """Let each group read the features of the old group that most of its labels come from."""
    group = new.shape.group
    pairs, votes = np.unique(np.stack([new_n // group, old_n // group]), axis=1, return_counts=True)
    order = np.lexsort((-votes, pairs[0]))
    rows, first = np.unique(pairs[0][order], return_index=True)
    source = torch.from_numpy(pairs[1][order][first])
    index = old.index.view(torch.int16)[source].to(new.index.device)
    new.index.view(torch.int16)[torch.from_numpy(rows).to(new.index.device)] = index


def _spread(new: Head, old: Head, new_n: Int64s, old_n: Int64s, words: Int64s | None) -> None:
    """Rows that read other features: the weights of those that the old rows read too, and 0 elsewhere."""
    width = old.shape.first_feature + old.shape.in_features
    for begin, end in all_chunks(len(new_n), chunk_rows(width)):
        target = torch.from_numpy(new_n[begin:end]).to(new.weight.device)
        source = torch.from_numpy(old_n[begin:end])
        full_CD = torch.zeros(end - begin, width)
        full_CD.scatter_(1, _index_of(old, source), decoded(old.weight[source], torch.float32))
        values = encoded(full_CD.gather(1, _index_of(new, target)), new.weight.dtype)
        new.weight[target] = values.to(new.weight.device)
    target, source = torch.from_numpy(new_n).to(new.weight.device), torch.from_numpy(old_n)
    _copy_bias(new, old, target, source)
    _copy_words(new, old, new_n, old_n, words)


def _index_of(head: Head, places: Tensor) -> Tensor:
    """The features of the labels at some places, int64 on the host."""
    return head.index.view(torch.int16)[places // head.shape.group].cpu().view(torch.uint16).long()


def _copy_bias(new: Head, old: Head, target: Tensor, source: Tensor) -> None:
    if new.bias is not None and old.bias is not None:
        new.bias[target] = old.bias[source].to(new.bias)


def _new_words(model: Model, old: Model) -> Int64s | None:
    """The new id of each word of the old vocabulary, NO_WORD for none; None unless both models read words."""
    if model.words is None or old.words is None:
        return None
    if model.words.kind != old.words.kind:
        return None
    codes_V, old_codes = model.words.arrays()[0], old.words.arrays()[0]
    if not len(codes_V):
        return np.full(NO_WORD + 1, NO_WORD, np.int64)
    place = np.minimum(np.searchsorted(codes_V, old_codes), len(codes_V) - 1)
    found = np.full(NO_WORD + 1, NO_WORD, np.int64)
    found[: len(old_codes)] = np.where(codes_V[place] == old_codes, place, NO_WORD)
    return found


def _copy_words(new: Head, old: Head, new_n: Int64s, old_n: Int64s, words: Int64s | None) -> None:
    if new.word_layer is None or old.word_layer is None or words is None:
        return
    for begin in range(0, len(new_n), MERGED_ROWS):
        target = torch.from_numpy(new_n[begin : begin + MERGED_ROWS]).to(new.weight.device)
        source = torch.from_numpy(old_n[begin : begin + MERGED_ROWS])
        kept = words[_words_of(old, source)]
        weight = old.word_layer.weight[source].float().cpu().numpy()
        index, weight = merged_words(kept, weight, _words_of(new, target))
        new.word_layer.weight[target] = torch.from_numpy(weight).to(new.word_layer.weight)
        bits = to_index(torch.from_numpy(index)).view(torch.int16).to(new.weight.device)
        new.word_layer.index.view(torch.int16)[target] = bits


def _words_of(head: Head, rows: Tensor) -> Int64s:
    assert head.word_layer is not None, "the caller has checked it"
    found: Int64s = head.word_layer.index.view(torch.int16)[rows].cpu().view(torch.uint16).long().numpy()
    return found


def merged_words(
    kept_nK: Int64s, weight_nK: npt.NDArray[np.float32], chosen_nW: Int64s
) -> tuple[Int64s, npt.NDArray[np.float32]]:
    """Words and weights of n labels, [n, W] each: the words `kept_nK` with their weights, largest first, then
    those of `chosen_nW` that are not among them, with weight 0.

    NO_WORD stands for no word in all of them.
    """
    repeated_nW = (chosen_nW[:, :, None] == kept_nK[:, None, :]).any(2)
    words = np.concatenate([kept_nK, np.where(repeated_nW, NO_WORD, chosen_nW)], 1)
    weights = np.concatenate([weight_nK, np.zeros(chosen_nW.shape, np.float32)], 1)
    strength = np.where(words == NO_WORD, -2.0, np.abs(weights))
    fresh = slice(kept_nK.shape[1], None)
    strength[:, fresh] -= words[:, fresh] != NO_WORD  # behind every word that is kept
    order = np.argsort(-strength, axis=1, kind="stable")[:, : chosen_nW.shape[1]]
    words, weights = np.take_along_axis(words, order, 1), np.take_along_axis(weights, order, 1)
    return words, np.where(words == NO_WORD, np.float32(0.0), weights)
