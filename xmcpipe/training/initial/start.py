"""A training that begins with another model: its encoder, and the rows of labels that both have by name.

All other labels begin as usual. A row is its connections, weights, bias and words; of the words, those that
the new vocabulary has too, and then those that were chosen for the label until its places are full. A label
may have been frequent in one training and not in the other:

    sparse, then sparse        the row
    frequent, then frequent    the row: all features, and as many words as there are places
    sparse, then frequent      the row's weights at its features, and 0 elsewhere
    frequent, then sparse      as usual: K features of many would say something else

L labels of the new model, n shared ones, D features, K' and W words of a label.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xmcpipe.artifacts.manifest import FILE_NAME
from xmcpipe.artifacts.store import Artifact
from xmcpipe.artifacts.verified import require_whole
from xmcpipe.data.vocabulary_file import read_vocabulary
from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling.heads import Head
from xmcpipe.modeling.model import Model
from xmcpipe.modeling.saved import load_model
from xmcpipe.ops.rounding import decoded, encoded
from xmcpipe.ops.topology import to_index
from xmcpipe.ops.word_layer import NO_WORD

logger = logging.getLogger(__name__)
Int64s = npt.NDArray[np.int64]
MERGED_ROWS = 256  # labels whose words are merged at a time
KINDS = ("ffi", "dense")


@torch.no_grad()
def start_from(model: Model, names: Sequence[str], folder: Path, frozen: bool) -> int:
    """Copy the model in `folder` into `model`, whose labels are `names`; returns how many labels both have.

    With `frozen` the encoder of both must be the same. Raises XmcpipeError for another kind or size of
    encoder, features or output layer, and for files that differ from their checksums.
    """
    if (folder / FILE_NAME).is_file():  # no input of the stage, which would have compared its files
        require_whole(Artifact.at(folder))
    old, _ = load_model(folder)
    old_names = read_vocabulary(folder, old.head.num_labels)["label"].to_pylist()
    _require_alike(model, old, folder)
    _start_encoder(model, old, folder, frozen)
    if model.intermediate is not None and old.intermediate is not None:
        model.intermediate.load_state_dict(old.intermediate.state_dict())
    place = {name: number for number, name in enumerate(old_names)}
    shared = [(new, place[name]) for new, name in enumerate(names) if name in place]
    new_n, old_n = np.array(shared, np.int64).reshape(-1, 2).T
    _start_rows(model, old, new_n, old_n)
    logger.info("starting from %s: %s of %s labels shared", folder, f"{len(new_n):,}", f"{len(names):,}")
    return len(new_n)


def _require_alike(model: Model, old: Model, folder: Path) -> None:
    """Raise XmcpipeError for the first difference that makes rows or weights mean something else."""
    new_shape, old_shape = model.head.shape, old.head.shape
    for what, expected, got in (
        ("encoder.pooling", old.pooling, model.pooling),
        ("head.kind", old_shape.kind, new_shape.kind),
        ("head.intermediate", _width(old), _width(model)),
        ("head.fan_in", old_shape.fan_in, new_shape.fan_in),
        ("head.group", old_shape.group, new_shape.group),
        ("head.bias", old_shape.bias, new_shape.bias),
        ("head.frequent_features", _frequent_features(old), _frequent_features(model)),
    ):
        if expected != got:
            raise XmcpipeError(
                f"train.start_from: expected {what} = {expected!r}, as in {folder}, got {got!r}",
                f"set train.{what} to it, or start from another model",
            )
    if new_shape.kind not in KINDS or new_shape.group > 1:
        kind = new_shape.kind if new_shape.group == 1 else f"groups of {new_shape.group} labels"
        raise XmcpipeError(
            f"train.start_from: expected a head of the kind {' or '.join(KINDS)} without groups, got {kind}",
            "omit start_from, or change the head of both trainings",
        )


def _frequent_features(model: Model) -> str:
    """ "own" if frequent labels have features of their own, else "all"."""
    return "own" if model.frequent is not None and model.frequent.head.shape.first_feature else "all"


def _width(model: Model) -> int:
    return 0 if model.intermediate is None else model.intermediate.out_features


def _start_encoder(model: Model, old: Model, folder: Path, frozen: bool) -> None:
    new_state, old_state = model.encoder.state_dict(), old.encoder.state_dict()
    shapes = [{name: tuple(tensor.shape) for name, tensor in each.items()} for each in (old_state, new_state)]
    if shapes[0] != shapes[1]:
        name = sorted(set(shapes[0].items()) ^ set(shapes[1].items()))[0][0]
        raise XmcpipeError(
            f"train.start_from: expected the encoder of {folder}, got one that differs in {name}: "
            f"{shapes[1].get(name)} for {shapes[0].get(name)}",
            "name the encoder of that model in [tokenize] and [train.encoder]",
        )
    if not frozen:
        model.encoder.load_state_dict(old_state)
        return
    if any(
        not torch.equal(tensor.to(old_state[name]), old_state[name]) for name, tensor in new_state.items()
    ):
        raise XmcpipeError(
            f"train.start_from: the encoder of {folder} was trained, and is not that of the embeddings",
            f"set embed.encoder and train.encoder.name to {folder / 'encoder'}, or train the encoder",
        )


def _start_rows(model: Model, old: Model, new_n: Int64s, old_n: Int64s) -> None:
    """Copy the rows of the labels `new_n`, whose ids in the old model are `old_n`."""
    new_place, old_place = _frequent_places(model), _frequent_places(old)
    was_n, is_n = old_place[old_n] >= 0, new_place[new_n] >= 0
    words = _new_words(model, old)
    _copy(model.head, old.head, new_n[~was_n & ~is_n], old_n[~was_n & ~is_n], words)
    if model.frequent is None:
        return
    head, both, now = model.frequent.head, was_n & is_n, ~was_n & is_n
    if old.frequent is not None:
        _copy(head, old.frequent.head, new_place[new_n[both]], old_place[old_n[both]], words)
    if _frequent_features(model) == "all":  # otherwise they had none of the features that they read now
        _spread(head, old.head, new_place[new_n[now]], old_n[now], words)


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


def _spread(new: Head, old: Head, new_n: Int64s, old_n: Int64s, words: Int64s | None) -> None:
    """Rows that read all features, from rows that read K of them."""
    target, source = torch.from_numpy(new_n).to(new.weight.device), torch.from_numpy(old_n)
    full_nD = torch.zeros(len(new_n), new.shape.in_features)
    full_nD.scatter_(1, _index_of(old, source), decoded(old.weight[source], torch.float32))
    new.weight[target] = full_nD.gather(1, _index_of(new, target)).to(new.weight)
    _copy_bias(new, old, target, source)
    _copy_words(new, old, new_n, old_n, words)


def _index_of(head: Head, rows: Tensor) -> Tensor:
    """The features of some rows, int64 on the host."""
    return head.index.view(torch.int16)[rows].cpu().view(torch.uint16).long()


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
