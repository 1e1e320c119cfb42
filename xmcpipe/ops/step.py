"""The fused classifier step as a PyTorch operator: scores, loss, dX, and the update of weights and bias.

A label's score, the gradient of its loss, its contribution to dX, its dW and its update depend on no other
label. So a step works chunk by chunk of labels: only one chunk's scores and gradients exist at a time, and
the weights are read once and written once. The idea is that of fused linear cross entropy, extended to the
optimizer (LOMO, Lv et al., 2023; Renee, Jain et al., MLSys 2023).

B rows, D features, L labels, K fan-in, P positives.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from xmcpipe.ops import step_torch
from xmcpipe.ops.checks import check_step
from xmcpipe.ops.dispatch import cuda_kernels_usable, numba_preferred
from xmcpipe.ops.layer import Positives, SparseLayer, Update
from xmcpipe.ops.word_layer import BatchWords, StepWords, WordLayer, Words
from xmcpipe.ops.words.product import check_step_words

Step = Callable[[Tensor, SparseLayer, Positives, str, Update, Words], tuple[Tensor, Tensor]]
"""A backend's step, `step_(features, layer, positives, loss, update, words)`, of checked arguments.

It updates layer and words in place, and returns (loss_sum float32 [], grad_features float32 [B, D]). It
raises XmcpipeError for a loss that the backend does not have.
"""


def _implementation(features: Tensor, layer: SparseLayer, words: Words) -> Step:
    updated = (layer.weight,) if layer.momentum is None else (layer.weight, layer.momentum)
    if cuda_kernels_usable(layer.index, features, *updated, group=layer.group) and (
        words is None or cuda_kernels_usable(words.layer.index, words.layer.weight)
    ):
        import xmcpipe.ops.cuda.groups.step
        import xmcpipe.ops.cuda.step

        return xmcpipe.ops.cuda.step.step_ if layer.group == 1 else xmcpipe.ops.cuda.groups.step.step_
    if numba_preferred(features, layer, torch.float32):
        from xmcpipe.ops.cpu import grouped_step, step  # here, since numba takes a second to import

        return step.step_ if layer.group == 1 else grouped_step.step_
    return step_torch.step_


# Long: the flat schema that torch requires, and its documentation.
@torch.library.custom_op("xmcpipe::ffi_step_", mutates_args=("weight", "bias", "momentum", "word_weight"))
def ffi_step_(
    features: Tensor,
    weight: Tensor,
    index: Tensor,
    bias: Tensor | None,
    momentum: Tensor | None,
    positive_rows: Tensor,
    positive_labels: Tensor,
    scale: Tensor,
    rate: Tensor,
    step: Tensor,
    loss: str,
    weight_decay: float,
    momentum_factor: float,
    seed: int,
    first_label: int,
    label_chunk: int,
    word_weight: Tensor | None = None,
    word_index: Tensor | None = None,
    word_place: Tensor | None = None,
    word_values: Tensor | None = None,
    word_rate: Tensor | None = None,
    group: int = 1,
) -> tuple[Tensor, Tensor]:
    """One training step of the layer, in place; returns (loss_sum float32 [], grad_features float32 [B, D]).

    `features` [B, D], `weight` [L, K]: bfloat16, float16 or float32 each; `index` uint16 [R, K], of groups
    of `group` labels; `bias` float32 [L]; `momentum` [L, K] of the weight's dtype or bfloat16.
    `positive_rows`, `positive_labels` int64 [P]: distinct pairs, labels ascending and local, in [0, L).
    `scale` and `rate` float32 and `step` int64: scalars on the device of the weights.

    loss_sum is the sum over B x L and grad_features its gradient (at the old weights), both unscaled. The
    update is that of torch.optim.SGD for the loss times `scale`: d = scale * dW + weight_decay * w, through
    momentum if any, then w -= rate * d. Weights of 16 bits are stored by stochastic rounding, a function of
    `seed`, `step`, the label id `first_label` + l and the place. The bias has neither decay nor momentum. At
    most `label_chunk` labels, but whole groups, are scored at a time; this changes only the order of float
    sums.

    The five of words are None, or the tensors of `ops.word_layer.StepWords`: then words are a part of the
    scores, and their weights are updated too, by plain SGD for the unscaled sum. Raises ValueError for other
    shapes or dtypes, and XmcpipeError for a loss that the backend does not have.
    """
    layer = SparseLayer(weight, index, bias, momentum, group)
    positives = Positives(positive_rows, positive_labels)
    update = Update(scale, rate, step, weight_decay, momentum_factor, seed, first_label, label_chunk)
    words = _words(update, word_weight, word_index, word_place, word_values, word_rate)
    check_step(features, layer, positives, loss, update)
    if words is not None:
        check_step_words(words, len(features), layer.num_labels)
    return _implementation(features, layer, words)(features, layer, positives, loss, update, words)


def _words(update: Update, *tensors: Tensor | None) -> Words:
    """The arguments of `ffi_step_` about words, bundled. Raises ValueError if only some of them are None."""
    weight, index, place, values, rate = tensors
    if all(tensor is None for tensor in tensors):
        return None
    if weight is None or index is None or place is None or values is None or rate is None:
        raise ValueError("expected all five tensors of words, or none")
    return StepWords.of(BatchWords(place, values), WordLayer(weight, index), rate, update)


@ffi_step_.register_fake
def _empty_step(features: Tensor, *schema: Any) -> tuple[Tensor, Tensor]:
    """Results of the right shapes; `schema` is the rest of the operator's arguments."""
    # After `features`: 4 tensors of the layer, 2 of the positives, 3 scalars, the loss, 5 numbers, 5 tensors
    # of words, the group. The dispatcher leaves out arguments at the end that are at their defaults.
    defaults: list[Any] = [*[None] * 5, 1]
    *of_words, group = [*schema[15:], *defaults[len(schema) - 15 :]]
    weight, index, bias, momentum, rows, labels, *_ = schema
    layer, positives, loss = (
        SparseLayer(weight, index, bias, momentum, group),
        Positives(rows, labels),
        schema[9],
    )
    update = Update(*schema[6:9], *schema[10:15])
    check_step(features, layer, positives, loss, update)
    if (words := _words(update, *of_words)) is not None:
        check_step_words(words, len(features), layer.num_labels)
    return (
        features.new_empty((), dtype=torch.float32),
        features.new_empty(features.shape, dtype=torch.float32),
    )


def step_(
    features_BD: Tensor,
    layer: SparseLayer,
    positives: Positives,
    loss: str,
    update: Update,
    words: Words = None,
) -> tuple[Tensor, Tensor]:
    """`ffi_step_` with its arguments bundled: update `layer` in place, return the loss sum and dX [B, D].

    Of `words.update` only the rates count: the rest is as in `update`.
    """
    *tensors, group = layer
    scale, rate, step, *numbers = update
    of_words = [None] * 5 if words is None else [*words.layer, *words.batch, words.update.rate_U]
    result: tuple[Tensor, Tensor] = ffi_step_(
        features_BD, *tensors, *positives, scale, rate, step, loss, *numbers, *of_words, group
    )
    return result
