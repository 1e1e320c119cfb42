"""The fused classifier step on the CUDA kernels, chunk by chunk of labels: for any shape and format.

Three kernels run for each chunk: scores and loss, dX, dW and update. With words (`ops.words`) their part of
the scores comes first, and their update last. A chunk is small enough for its weights, indices and gradients
to stay in L2 between the kernels, so each is read from device memory once.

B rows, D features, L labels, K fan-in, P positives.
"""

import torch
from torch import Tensor

from xmcpipe.ops.cuda.ffi import FeatureGradient
from xmcpipe.ops.cuda.geometry import FORMATS, LayerShape, card_of, chunk_labels, sums_before_update
from xmcpipe.ops.cuda.rows import gather_launch, transposed
from xmcpipe.ops.cuda.step_arguments import loss_code, momentum_kind, positive_arguments, update_arguments
from xmcpipe.ops.cuda.words import WordKernels
from xmcpipe.ops.layer import Positives, SparseLayer, Update
from xmcpipe.ops.nvrtc.launch import launch
from xmcpipe.ops.word_layer import Words


def step_(
    features_BD: Tensor, layer: SparseLayer, positives: Positives, loss: str, update: Update, words: Words
) -> tuple[Tensor, Tensor]:
    """See `ops.step.Step`."""
    shape = LayerShape.of(features_BD, layer, words)
    chunk = chunk_labels(shape, card_of(features_BD.device), update.label_chunk)
    features_DB = transposed(features_BD)
    scores = _Scores(features_DB, layer, shape, chunk, loss_code(loss))
    gradient = FeatureGradient(layer, shape.num_rows, shape.num_features, chunk)
    updates = _Updates(features_DB, layer, shape, chunk)
    word_kernels = None if words is None else WordKernels(words.batch, words.layer)
    for number, begin in enumerate(range(0, shape.num_labels, chunk)):
        end = min(begin + chunk, shape.num_labels)
        if word_kernels is not None:
            word_kernels.write_scores(scores.gradient_LB, begin, end)
        # The order matters: dX is computed from the old weights, so before their update.
        scores.run(number, positives, begin, end)
        gradient.add(scores.gradient_LB, begin, end)
        updates.run(scores.gradient_LB, update, begin, end)
        if words is not None and word_kernels is not None:
            word_kernels.update(scores.gradient_LB, words.update, begin, end)
    grad_features = torch.empty(features_BD.shape, dtype=torch.float32, device=features_BD.device)
    gradient.total(grad_features)
    return scores.losses.sum(), grad_features


class _Scores:
    """The kernel of scores and loss, with its results; the words' part must be in `gradient_LB` before.

    `gradient_LB` float32 [chunk, stride] belongs to the latest chunk; `losses` float32 [chunks, blocks] has
    the partial sums of all chunks.
    """

    def __init__(
        self, features_DB: Tensor, layer: SparseLayer, shape: LayerShape, chunk: int, code: int
    ) -> None:
        self._features_DB, self._layer, self._shape = features_DB, layer, shape
        stride = features_DB.shape[1]
        macros = {"WEIGHT": FORMATS[shape.weight_dtype], "LOSS": code, "INITIAL": int(shape.word_bytes > 0)}
        self._kernel = gather_launch("ffi_scores", features_DB, **macros)
        row_blocks = self._kernel.row_blocks(stride)
        blocks = self._kernel.label_blocks(features_DB.device, chunk, row_blocks)
        self._grid = blocks, row_blocks
        self.gradient_LB = features_DB.new_empty(chunk, stride, dtype=torch.float32)
        num_chunks = -(-shape.num_labels // chunk)
        self.losses = features_DB.new_empty(num_chunks, blocks * row_blocks, dtype=torch.float32)

    def run(self, number: int, positives: Positives, begin: int, end: int) -> None:
        """Compute chunk `number`, the labels [begin, end)."""
        launch(
            self._kernel.variant,
            self._features_DB.device,
            self._grid,
            self._kernel.shared_bytes,
            features_DB=self._features_DB,
            weight_LK=self._layer.weight,
            index_LK=self._layer.index,
            bias_L=self._layer.bias,
            out=self.gradient_LB,
            partial_loss=self.losses[number],
            **positive_arguments(positives),
            begin=begin,
            end=end,
            batch=self._shape.num_rows,
            stride=self._features_DB.shape[1],
            num_features=self._shape.num_features,
            fan_in=self._shape.fan_in,
        )


class _Updates:
    """The kernel of dW and of the update of weights, momentum and bias."""

    def __init__(self, features_DB: Tensor, layer: SparseLayer, shape: LayerShape, chunk: int) -> None:
        self._features_DB, self._layer, self._shape = features_DB, layer, shape
        weight_format, kind = FORMATS[shape.weight_dtype], momentum_kind(layer.weight, layer.momentum)
        self._kernel = gather_launch(
            "ffi_grad_weight", features_DB, WEIGHT=weight_format, UPDATE=1, MOMENTUM=kind
        )
        self._grid = (self._kernel.label_blocks(features_DB.device, chunk),)
        self._sums_LK: Tensor | None = None
        if sums_before_update(shape, self._kernel.rows):
            self._sums_LK = features_DB.new_empty(chunk, shape.fan_in, dtype=torch.float32)

    def run(self, gradient_LB: Tensor, update: Update, begin: int, end: int) -> None:
        """Update the labels [begin, end) from the gradients of their scores."""
        launch(
            self._kernel.variant,
            self._features_DB.device,
            self._grid,
            self._kernel.shared_bytes,
            gradient_LB=gradient_LB,
            features_DB=self._features_DB,
            index_LK=self._layer.index,
            dweight_LK=self._sums_LK,
            **update_arguments(self._layer, update),
            begin=begin,
            end=end,
            stride=self._features_DB.shape[1],
            num_features=self._shape.num_features,
            fan_in=self._shape.fan_in,
        )
