"""The workspace of the classifier's operators: memory that they allocate besides operands and results.

On a CPU it is measured by running them on zeros, for no more labels than they process at a time. On a GPU it
is computed by the launch rules of the kernels (`ops/cuda/geometry.py`) for an H100. Most other cards have
fewer multiprocessors and a smaller cache, so they need less.

B rows, D features, L labels, K fan-in.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from xmcpipe.memory.live_bytes import LiveBytes
from xmcpipe.modeling.heads import HeadShape
from xmcpipe.ops import ffi_torch, step_torch
from xmcpipe.ops.cuda.geometry import (
    INDEX_BYTES,
    SUM_BYTES,
    Card,
    LayerShape,
    gradient_chunk,
    max_gradient_bytes,
    padded_rows,
    supports_fan_in,
    word_workspace_bytes,
)
from xmcpipe.ops.cuda.groups.geometry import supports_sizes, workspace_bytes
from xmcpipe.ops.cuda.pass_geometry import max_step_workspace_bytes
from xmcpipe.ops.ffi_torch import TILE_VALUES
from xmcpipe.ops.layer import Positives, SparseLayer, Update, whole_groups
from xmcpipe.ops.nvrtc.architectures import ARCHITECTURES
from xmcpipe.ops.rewire import chunk_groups
from xmcpipe.ops.rounding import FLOAT8
from xmcpipe.ops.topology import INDEX_DTYPE, chunk_rows, regrow
from xmcpipe.ops.word_layer import MAX_WORDS
from xmcpipe.training.growth.gradient import SAMPLED_ROWS, chunk_labels
from xmcpipe.training.growth.words import PIECE_VALUES
from xmcpipe.training.words.frequent import PIECE_LABELS

H100 = Card(132, cache_bytes=50 << 20, shared_bytes=ARCHITECTURES["sm_90"], capability=(9, 0))
DTYPES = {2: torch.bfloat16, 4: torch.float32}  # by bytes of a value
HISTOGRAM_BYTES = 4 * 8 * (1 << 21)  # four int64 copies of the bits of one piece of the layer
TIE_BYTES = 2 * 8  # per label: the ties in its row, and those before it
COPIED_BYTES = 2 * 4 + 1  # of a weight of a group: two copies, and whether it is pruned
# Place of the size of groups among the arguments of each operator that has it.
GROUP = {"ffi_scores": 3, "ffi_grad_features": 4, "ffi_grad_weight": 3, "ffi_step_": 21}
LABEL_CHUNK, WORD_INDEX, WORD_VALUES = 15, 17, 19  # places of these among the arguments of `ffi_step_`
CHOICE_BYTES = 8 + 8 + 4 + 8  # of a value of the gradient: itself, and its |value|, bits and key in turn
TABLE_BYTES = 2 * 8 * (1 << 16)  # of growth by gradient: the gradient at each score
PAIR_BYTES = 8 * (2 + 1 + 2)  # row and label, their order, and both in this order
WORD_PAIR_BYTES = 8 * (2 + 3)  # label and document; of a chunk also label, score and weight
SAMPLE_LABELS = 1 << 14  # enough labels for each slice of them to reach its full size


def classifier_workspace_bytes(
    num_rows: int,
    num_features: int,
    num_labels: int,
    fan_in: int,
    value_bytes: int,
    label_chunk: int,
    word_fan_in: int = 0,
    num_words: int = 0,
) -> int:
    """Workspace of `ffi_step_` on a GPU in bytes, for the design that computes the step.

    `value_bytes`: size of a weight and of a feature, 2 or 4. `num_words`: different words of the batch, if
    each label reads `word_fan_in`.
    """
    dtype, word_bytes = DTYPES[value_bytes], word_fan_in * (value_bytes + INDEX_BYTES)
    shape = LayerShape(num_rows, num_features, num_labels, fan_in, dtype, dtype, word_bytes)
    return _step_bytes(shape, label_chunk, num_words)


def _step_bytes(shape: LayerShape, label_chunk: int, num_words: int) -> int:
    of_words = word_workspace_bytes(num_words, shape.num_rows) if shape.word_bytes else 0
    return max_step_workspace_bytes(shape, H100, label_chunk) + of_words


def _group(name: str, args: tuple[Any, ...]) -> int:
    """The size of the groups of labels in the arguments of the operator called `name`."""
    place = GROUP.get(name, len(args))
    return int(args[place]) if place < len(args) else 1


def _in_torch(name: str, args: tuple[Any, ...], group: int) -> tuple[Tensor, ...]:
    """The results of an operator for groups of labels, computed in torch; for a step without its words."""
    first, second, third, *rest = args
    if name == "ffi_step_":
        update = Update(*rest[4:7], *rest[8:13])
        layer = SparseLayer(second, third, rest[0], rest[1], group)
        return step_torch.step_(first, layer, Positives(rest[2], rest[3]), rest[7], update, None)
    if name == "ffi_grad_weight":
        out = torch.empty(first.shape[1], third.shape[1])
        ffi_torch.grad_weight(first, second, SparseLayer(out, third, group=group))
        return (out,)
    product = ffi_torch.scores if name == "ffi_scores" else ffi_torch.grad_features
    width = len(second) if name == "ffi_scores" else rest[0]
    product(first, SparseLayer(second, third, group=group), out := torch.empty(len(first), width))
    return (out,)


def workspace_on_gpu(name: str, args: tuple[Any, ...]) -> int:
    """Workspace on a GPU of the operator called `name` with these arguments, in bytes."""
    group = _group(name, args)
    first: Tensor = args[0]
    second: Tensor = args[1]
    if group > 1 or (second.dtype == FLOAT8 and not supports_fan_in(second.shape[1])):
        return _workspace_beside_kernels(name, args, group)
    num_rows, width = first.shape  # the features [B, D], or the gradient of the scores [B, L]
    if name == "ffi_step_":
        num_labels, fan_in = second.shape
        values_UB = args[WORD_VALUES] if len(args) > WORD_VALUES else None
        if second.dtype == FLOAT8:
            return _step_bytes(_shape(args), args[LABEL_CHUNK], 0 if values_UB is None else len(values_UB))
        of_words = () if values_UB is None else (args[WORD_INDEX].shape[1], len(values_UB))
        return classifier_workspace_bytes(
            num_rows, width, num_labels, fan_in, second.element_size(), args[LABEL_CHUNK], *of_words
        )
    if name == "word_scores_":  # of scores, place, values, weight, index
        return word_workspace_bytes(len(args[2]), num_rows)
    if name == "word_update_":  # of weight, index, place, values, the gradient of the scores [B, L]
        num_rows = len(args[4])
        return word_workspace_bytes(len(args[3]), num_rows) + _gradient_by_label(num_rows, len(first))
    if name == "ffi_scores":
        return first.element_size() * width * padded_rows(num_rows)
    by_label = _gradient_by_label(num_rows, width)
    if name == "ffi_grad_features":
        return by_label + max_gradient_bytes(num_rows, args[3], H100)
    return by_label + second.element_size() * second.shape[1] * padded_rows(num_rows)


def _workspace_beside_kernels(name: str, args: tuple[Any, ...], group: int) -> int:
    """`workspace_on_gpu` of an operator for groups, or for weights of 8 bits and a fan-in without kernels."""
    # The dispatcher leaves out arguments at the end that are at their defaults.
    words = args[WORD_VALUES] if name == "ffi_step_" and len(args) > WORD_VALUES else None
    of_words = 0 if words is None else word_workspace_bytes(len(words), len(args[0]))
    features, weight = args[:2]
    # Kernels take the step of groups, but not of all sizes and dtypes.
    if name == "ffi_step_" and supports_sizes(group, weight.shape[1], features.dtype, weight.dtype):
        return workspace_bytes(_shape(args), group, H100, args[LABEL_CHUNK]) + of_words
    # Torch computes the others (here also products that kernels may compute, which need less), and allocates
    # the same on every device.
    return _measured(lambda *sample: _in_torch(name, sample, group), name, args) + of_words


def _shape(args: tuple[Any, ...]) -> LayerShape:
    """The sizes and dtypes of a step, from the arguments of `ffi_step_`."""
    features, weight = args[:2]
    (num_rows, width), (num_labels, fan_in) = features.shape, weight.shape
    word_weight = args[WORD_INDEX - 1] if len(args) > WORD_INDEX else None
    word_bytes = 0
    if word_weight is not None:
        word_bytes = word_weight.shape[1] * (word_weight.element_size() + INDEX_BYTES)
    dtypes = features.dtype, weight.dtype
    return LayerShape(num_rows, width, num_labels, fan_in, *dtypes, word_bytes)


def _gradient_by_label(num_rows: int, num_labels: int) -> int:
    """Bytes of the gradient of the scores by label, float32, of as many labels as are processed at a time."""
    return SUM_BYTES * gradient_chunk(num_rows, num_labels, H100) * padded_rows(num_rows)


def workspace_on_cpu(func: Any, args: tuple[Any, ...]) -> int:
    """Workspace on a CPU of the operator `func` with arguments of these shapes and dtypes, in bytes."""
    return _measured(func, func._schema.name.split("::")[1], args)


def _measured(call: Callable[..., Any], name: str, args: tuple[Any, ...]) -> int:
    """What `call`, the operator called `name`, allocates for arguments like these, except its results."""
    rows, group = _index_rows(args), _group(name, args)
    labels = rows if group == 1 else args[0].shape[1] if name == "ffi_grad_weight" else len(args[1])
    # Only in the arguments of `ffi_grad_features` no tensor shows D.
    features = args[3] if name == "ffi_grad_features" else args[0].shape[1]
    num_sampled = min(labels, whole_groups(max(SAMPLE_LABELS, 2 * TILE_VALUES // features), group))
    sample = tuple(_zeros(value, labels, num_sampled, group) for value in args)
    meter = LiveBytes()
    with torch.no_grad(), meter:
        results = call(*sample)
    workspace = meter.peak - meter.live  # operands and results are still alive
    del results
    return workspace


def _index_rows(args: tuple[Any, ...]) -> int:
    """Number of rows of the first index among the arguments of an operator."""
    return next(len(value) for value in args if isinstance(value, Tensor) and value.dtype == INDEX_DTYPE)


def rewiring_bytes(device: str, num_labels: int, num_features: int, fan_in: int, group: int = 1) -> int:
    """Workspace of a rewiring in bytes: the larger of the histograms of the cut, and the regrowth."""
    if device == "cuda" and group == 1:
        return max(HISTOGRAM_BYTES, TIE_BYTES * num_labels)
    rows = min(chunk_rows(num_features), -(-num_labels // group))
    copied = 0
    if group > 1:
        rows = min(rows, chunk_groups(group, fan_in))
        copied = COPIED_BYTES * rows * group * fan_in
    meta = torch.device("meta")
    meter = LiveBytes()
    with meter:
        pruned = torch.empty(rows, fan_in, dtype=torch.bool, device=meta)
        labels = torch.empty(rows, dtype=torch.int64, device=meta)
        regrow(torch.empty(rows, fan_in, dtype=INDEX_DTYPE, device=meta), pruned, 0, 1, labels, num_features)
    return max(HISTOGRAM_BYTES, meter.peak + copied)


def growth_bytes(num_labels: int, num_features: int, num_pairs: int) -> int:
    """Workspace of a growth by gradient in bytes, on any device; `num_pairs` is the number of positives."""
    # Scores and their places in the table, a dense tile of weights, the gradient.
    of_gradient = 16 * SAMPLED_ROWS + 16 * num_features
    chunk = min(chunk_labels(num_features), num_labels) * max(of_gradient, CHOICE_BYTES * num_features)
    return chunk + 8 * SAMPLED_ROWS * num_features + TABLE_BYTES + PAIR_BYTES * num_pairs


def word_growth_bytes(shape: HeadShape, num_pairs: int) -> int:
    """Workspace of a growth of words in bytes; `num_pairs` is the number of positives of all documents."""
    rows = min(chunk_rows(2 * (shape.fan_in + shape.word_fan_in)), shape.num_labels)
    # Weights and indices of a chunk, the sizes of its words and their order.
    chunk = rows * (6 * shape.fan_in + (6 + 4 + 8 + 4) * shape.word_fan_in)
    features = (2 + 4) * PIECE_VALUES  # of a piece of pairs, as they are stored and in float32
    return chunk + features + TABLE_BYTES + WORD_PAIR_BYTES * num_pairs


def frequent_growth_bytes(num_frequent: int, num_terms: float) -> int:
    """Workspace of a growth of the words of frequent labels, on the host, in bytes.

    `num_terms` is the number of words of all documents.
    """
    # Of all words and a piece of the labels: weights and gradient, a product before it is added, sizes.
    matrices = 5 * 4 * MAX_WORDS * min(num_frequent, PIECE_LABELS)
    return matrices + round(4 * num_terms)


def _zeros(value: Any, labels: int, sample: int, group: int) -> Any:
    """A tensor of zeros in memory like `value`, with `sample` labels where it has `labels`."""
    if not isinstance(value, Tensor):
        return value
    shape = [sample if size == labels else size for size in value.shape]
    if group > 1 and value.dtype == INDEX_DTYPE:
        shape = [-(-sample // group), *value.shape[1:]]
    return torch.zeros(shape, dtype=value.dtype)
