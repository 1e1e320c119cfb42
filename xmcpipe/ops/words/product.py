"""The second source of a label's score: words of the document, each label reads K' of at most 65,535.

    score[b, l] += sum_k weight[l, k] * t[b, index[l, k]]        t: tf-idf of the document's words, sparse

Most words that a label reads occur in no document of a batch: their connections need no arithmetic. So the
words of a batch are kept as the dense matrix of those that occur, with the place of each word in it. Nothing
is trained below the words: there is no gradient of t.

B rows, L labels, K' words that a label reads, U different words of a batch.
"""

from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from xmcpipe.ops.checks import FLOATS, check_matrix
from xmcpipe.ops.dispatch import cuda_kernels_usable, direct, numba_installed, too_few_for_numba
from xmcpipe.ops.topology import INDEX_DTYPE
from xmcpipe.ops.word_layer import (
    MAX_WORDS,
    BatchWords,
    StepWords,
    WordLayer,
    WordUpdate,
)


def check_words(words: BatchWords, layer: WordLayer, num_rows: int) -> None:
    """Raise ValueError for wrong shapes and dtypes; values are not read."""
    check_matrix(words.values_UB, "values of words", num_rows)
    if words.place.dtype != torch.int32 or words.place.shape != (MAX_WORDS + 1,):
        raise ValueError(
            f"expected place int32 [{MAX_WORDS + 1}], got {words.place.dtype} {list(words.place.shape)}"
        )
    if words.values_UB.dtype != torch.float32:
        raise ValueError(f"expected values of words float32, got {words.values_UB.dtype}")
    if layer.weight.dim() != 2 or layer.index.shape != layer.weight.shape:
        shapes = f"{list(layer.weight.shape)} and {list(layer.index.shape)}"
        raise ValueError(f"expected word weight [L, K'] and word index [L, K'], got {shapes}")
    if layer.index.dtype != INDEX_DTYPE or layer.weight.dtype not in FLOATS:
        raise ValueError(
            f"expected word index {INDEX_DTYPE} and a weight of 16- or 32-bit floats, got "
            f"{layer.index.dtype} and {layer.weight.dtype}"
        )
    if not (layer.weight.is_contiguous() and layer.index.is_contiguous()):
        raise ValueError("expected contiguous word weight and index, since rows are written in place")


def check_scores(scores: Tensor, words: BatchWords, layer: WordLayer) -> None:
    """`check_words`, and that `scores` are float32 [B, L]: a kernel would write out of bounds."""
    check_words(words, layer, len(scores))
    check_matrix(scores, "scores", len(layer.weight))
    if scores.dtype != torch.float32:
        raise ValueError(f"expected scores float32, got {scores.dtype}")


def check_rate(rate_U: Tensor, words: BatchWords) -> None:
    """Check that there is a rate of each word, float32 [U]."""
    if rate_U.dtype != torch.float32 or rate_U.shape != words.values_UB.shape[:1]:
        expected = f"float32 [{len(words.values_UB)}]"
        raise ValueError(f"expected rate of words {expected}, got {rate_U.dtype} {list(rate_U.shape)}")


def check_step_words(words: StepWords, num_rows: int, num_labels: int) -> None:
    """Check the words of a step of `num_labels` labels."""
    check_words(words.batch, words.layer, num_rows)
    check_rate(words.update.rate_U, words.batch)
    if len(words.layer.weight) != num_labels:
        raise ValueError(f"expected word weight of {num_labels} labels, got {len(words.layer.weight)}")


@torch.library.custom_op("xmcpipe::word_scores_", mutates_args=("scores",))
def word_scores_op_(scores: Tensor, place: Tensor, values: Tensor, weight: Tensor, index: Tensor) -> None:
    """Add the words' part to `scores` float32 [B, L], in place.

    The rest is a BatchWords and a WordLayer. Raises ValueError for other shapes or dtypes.
    """
    _word_scores_(scores, BatchWords(place, values), WordLayer(weight, index))


def _word_scores_(scores: Tensor, words: BatchWords, layer: WordLayer) -> None:
    check_scores(scores, words, layer)
    num_words, num_rows = words.values_UB.shape
    few = too_few_for_numba(num_rows, scores.shape[1] * max(num_words, layer.index.shape[1]))
    _implementation(layer, few).scores_(scores, words, layer)


@torch.library.custom_op("xmcpipe::word_update_", mutates_args=("weight",))
def word_update_op_(
    weight: Tensor,
    index: Tensor,
    place: Tensor,
    values: Tensor,
    grad_scores: Tensor,
    rate: Tensor,
    step: Tensor,
    seed: int,
    first_label: int,
) -> None:
    """Update the weights of the words of a batch in place, from `grad_scores` float32 [B, L].

    `grad_scores` is the gradient of the summed loss, `rate` float32 [U]; see WordUpdate. Raises ValueError
    for other shapes or dtypes.
    """
    words, layer = BatchWords(place, values), WordLayer(weight, index)
    update = WordUpdate(rate, step, seed, first_label)
    check_scores(grad_scores, words, layer)
    check_rate(rate, words)
    _implementation(layer).update_(grad_scores, words, layer, update)


@word_scores_op_.register_fake
def _no_scores(scores: Tensor, place: Tensor, values: Tensor, weight: Tensor, index: Tensor) -> None:
    check_scores(scores, BatchWords(place, values), WordLayer(weight, index))


@word_update_op_.register_fake
def _no_update(
    weight: Tensor,
    index: Tensor,
    place: Tensor,
    values: Tensor,
    grad_scores: Tensor,
    rate: Tensor,
    *_: object,
) -> None:
    check_scores(grad_scores, BatchWords(place, values), WordLayer(weight, index))
    check_rate(rate, BatchWords(place, values))


def word_scores_(scores_BL: Tensor, words: BatchWords, layer: WordLayer) -> None:
    """`word_scores_op_` with its arguments bundled; in inference mode see `ops.dispatch.direct`."""
    if direct():
        _word_scores_(scores_BL, words, layer)
    else:
        word_scores_op_(scores_BL, *words, *layer)


def word_update_(grad_BL: Tensor, words: BatchWords, layer: WordLayer, update: WordUpdate) -> None:
    """`word_update_op_` with its arguments bundled."""
    word_update_op_(*layer, *words, grad_BL, *update)


def _implementation(layer: WordLayer, few: bool = False) -> Any:
    """The module whose `scores_` and `update_` compute for this layer; with `few` values, torch's."""
    if cuda_kernels_usable(layer.index, layer.weight):
        return import_module("xmcpipe.ops.cuda.words")
    # Imported when they are first called: numba takes a second.
    on_numba = not few and layer.weight.device.type == "cpu" and numba_installed()
    return import_module("xmcpipe.ops.cpu.words" if on_numba else "xmcpipe.ops.words.plain")
