"""The fused classifier step for groups of labels, on the CUDA kernels, chunk by chunk of labels.

Three kernels run for each chunk: scores and loss, dX, dW and update. With words (`ops.words`) their part of
the scores comes first, and their update last. The gradients of a chunk's scores are 16 bits each, rounded at
random, and stay in L2 between the kernels, as its weights do.

B rows, D features, L labels, R groups, K fan-in; `stride` is B rounded up to a multiple of eight.
"""

import torch
from torch import Tensor

from xmcpipe.ops.cuda.geometry import FORMATS, LayerShape, card_of, persistent_blocks
from xmcpipe.ops.cuda.groups.ffi import FeatureGradient, weight_variant
from xmcpipe.ops.cuda.groups.geometry import FLOAT16_GRADIENT_SCALES, chunk_labels, row_blocks, tiles
from xmcpipe.ops.cuda.rows import resident_blocks, transposed
from xmcpipe.ops.cuda.step_arguments import loss_code, momentum_kind, positive_arguments, update_arguments
from xmcpipe.ops.cuda.words import WordKernels
from xmcpipe.ops.layer import Positives, SparseLayer, Update
from xmcpipe.ops.nvrtc.group_kernels import score_bytes
from xmcpipe.ops.nvrtc.kernel_table import KERNELS
from xmcpipe.ops.nvrtc.launch import launch
from xmcpipe.ops.word_layer import Words


def step_(
    features_BD: Tensor, layer: SparseLayer, positives: Positives, loss: str, update: Update, words: Words
) -> tuple[Tensor, Tensor]:
    """See `ops.step.Step`. The caller has checked the arguments with `geometry.supports`."""
    shape, code = LayerShape.of(features_BD, layer, words), loss_code(loss)
    chunk = chunk_labels(shape, layer.group, card_of(features_BD.device), update.label_chunk)
    factor = 1.0 / FLOAT16_GRADIENT_SCALES[code] if layer.weight.dtype == torch.float16 else 1.0
    features_DB = transposed(features_BD)
    scores = _Scores(features_DB, layer, shape, chunk, code)
    gradient = FeatureGradient(layer, shape.num_rows, shape.num_features, chunk)
    updates = _Updates(features_DB, layer, chunk, factor)
    word_kernels = None if words is None else WordKernels(words.batch, words.layer)
    for number, begin in enumerate(range(0, shape.num_labels, chunk)):
        end = min(begin + chunk, shape.num_labels)
        if word_kernels is not None and scores.words_LB is not None:
            word_kernels.write_scores(scores.words_LB, begin, end)
        # The order matters: dX is computed from the old weights, so before their update.
        scores.run(number, positives, update, begin, end)
        gradient.add(scores.gradient_LB, begin, end)
        updates.run(scores.gradient_LB, update, begin, end)
        if words is not None and word_kernels is not None and scores.words_LB is not None:
            word_kernels.update(scores.words_LB, words.update, begin, end)
    grad_features = torch.empty(features_BD.shape, dtype=torch.float32, device=features_BD.device)
    gradient.total(grad_features, factor)
    return scores.losses.sum(), grad_features


class _Scores:
    """The kernel of scores and loss, with its results.

    `gradient_LB` [chunk, stride], in the features' dtype, belongs to the latest chunk; `losses` float32
    [chunks, blocks] has the partial sums of all chunks. `words_LB` float32 [chunk, stride], None without
    words, holds the words' part of the scores before a run, and the gradients after it.
    """

    def __init__(
        self, features_DB: Tensor, layer: SparseLayer, shape: LayerShape, chunk: int, code: int
    ) -> None:
        self._features_DB, self._layer, self._num_rows = features_DB, layer, shape.num_rows
        stride, with_words = features_DB.shape[1], shape.word_bytes > 0
        macros = {"WEIGHT": FORMATS[layer.weight.dtype], "GROUP_SIZE": layer.group, "LOSS": code}
        self._variant = KERNELS["group_scores"].variant(**macros, INITIAL=int(with_words))
        self._shared_bytes = score_bytes(dict(self._variant.macros))
        resident = resident_blocks(self._variant, features_DB.device, self._shared_bytes)
        blocks_of_rows = row_blocks(stride)
        self._grid = persistent_blocks(resident, tiles(chunk), blocks_of_rows), blocks_of_rows
        self.gradient_LB = features_DB.new_empty(chunk, stride)
        self.words_LB = torch.empty_like(self.gradient_LB, dtype=torch.float32) if with_words else None
        num_chunks, blocks = -(-shape.num_labels // chunk), self._grid[0] * self._grid[1]
        self.losses = features_DB.new_empty(num_chunks, blocks, dtype=torch.float32)

    def run(self, number: int, positives: Positives, update: Update, begin: int, end: int) -> None:
        """Compute chunk `number`, the labels [begin, end)."""
        launch(
            self._variant,
            self._features_DB.device,
            self._grid,
            self._shared_bytes,
            features_DB=self._features_DB,
            weight_LK=self._layer.weight,
            index_RK=self._layer.index,
            bias_L=self._layer.bias,
            gradient_LB=self.gradient_LB,
            scores_LB=self.words_LB,
            partial_loss=self.losses[number],
            **positive_arguments(positives),
            step=update.step,
            seed=update.seed,
            first_label=update.first_label,
            begin=begin,
            end=end,
            batch=self._num_rows,
            stride=self._features_DB.shape[1],
            fan_in=self._layer.fan_in,
        )


class _Updates:
    """The kernel of dW and of the update of weights, momentum and bias."""

    def __init__(self, features_DB: Tensor, layer: SparseLayer, chunk: int, factor: float) -> None:
        self._features_DB, self._layer, self._factor = features_DB, layer, factor
        kind = momentum_kind(layer.weight, layer.momentum)
        self._variant, self._shared_bytes = weight_variant(
            layer.weight.dtype, layer.group, UPDATE=1, MOMENTUM=kind
        )
        resident = resident_blocks(self._variant, features_DB.device, self._shared_bytes)
        self._grid = (persistent_blocks(resident, tiles(chunk)),)

    def run(self, gradient_LB: Tensor, update: Update, begin: int, end: int) -> None:
        """Update the labels [begin, end) from the gradients of their scores."""
        launch(
            self._variant,
            self._features_DB.device,
            self._grid,
            self._shared_bytes,
            gradient_PLB=gradient_LB,
            features_DB=self._features_DB,
            index_RK=self._layer.index,
            factor=self._factor,
            **update_arguments(self._layer, update),
            begin=begin,
            end=end,
            stride=self._features_DB.shape[1],
            fan_in=self._layer.fan_in,
        )
