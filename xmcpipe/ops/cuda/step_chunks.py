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
from xmcpipe.ops.nvrtc.launch import Launch
from xmcpipe.ops.word_layer import Words


def step_(
    features_BD: Tensor, layer: SparseLayer, positives: Positives, loss: str, update: Update, words: Words
) -> tuple[Tensor, Tensor]:
    """See `ops.step.Step`."""
    shape = LayerShape.of(features_BD, layer, words)
    chunk = chunk_labels(shape, card_of(features_BD.device), update.label_chunk)
    features_DB = transposed(features_BD)
    scores = _Scores(features_DB, layer, positives, loss_code(loss), shape, chunk)
    gradient = FeatureGradient(layer, shape.num_rows, shape.num_features, chunk)
    updates = _Updates(features_DB, layer, scores.gradient_LB, update, shape)
    word_kernels = None if words is None else WordKernels(words.batch, words.layer)
    for number, begin in enumerate(range(0, shape.num_labels, chunk)):
        end = min(begin + chunk, shape.num_labels)
        if word_kernels is not None:
            word_kernels.write_scores(scores.gradient_LB, begin, end)
        # The order matters: dX is computed from the old weights, so before their update.
        scores.run(number, begin, end)
        gradient.add(scores.gradient_LB, begin, end)
        updates.run(begin, end)
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
        self,
        features_DB: Tensor,
        layer: SparseLayer,
        positives: Positives,
        code: int,
        shape: LayerShape,
        chunk: int,
    ) -> None:
        stride, device = features_DB.shape[1], features_DB.device
        macros = {"WEIGHT": FORMATS[shape.weight_dtype], "LOSS": code, "INITIAL": int(shape.word_bytes > 0)}
        kernel = gather_launch("ffi_scores", features_DB, **macros)
        row_blocks = kernel.row_blocks(stride)
        blocks = kernel.label_blocks(device, chunk, row_blocks)
        self.gradient_LB = features_DB.new_empty(chunk, stride, dtype=torch.float32)
        num_chunks = -(-shape.num_labels // chunk)
        self.losses = features_DB.new_empty(num_chunks, blocks * row_blocks, dtype=torch.float32)
        self._launch = Launch(
            kernel.variant,
            device,
            (blocks, row_blocks),
            kernel.shared_bytes,
            **positive_arguments(positives),
            features_DB=features_DB,
            weight_LK=layer.weight,
            index_LK=layer.index,
            bias_L=layer.bias,
            out=self.gradient_LB,
            partial_loss=self.losses[0],
            begin=0,
            end=chunk,
            batch=shape.num_rows,
            stride=stride,
            num_features=shape.num_features,
            fan_in=shape.fan_in,
        )

    def run(self, number: int, begin: int, end: int) -> None:
        """Compute chunk `number`, the labels [begin, end)."""
        self._launch.start(partial_loss=self.losses[number], begin=begin, end=end)


class _Updates:
    """The kernel of dW and of the update of weights, momentum and bias.

    `gradient_LB` float32 [chunk, stride] has the gradients of the scores of the chunk whose turn it is.
    """

    def __init__(
        self, features_DB: Tensor, layer: SparseLayer, gradient_LB: Tensor, update: Update, shape: LayerShape
    ) -> None:
        chunk, stride = gradient_LB.shape
        weight_format, kind = FORMATS[shape.weight_dtype], momentum_kind(layer.weight, layer.momentum)
        kernel = gather_launch("ffi_grad_weight", features_DB, WEIGHT=weight_format, UPDATE=1, MOMENTUM=kind)
        sums_LK = None
        if sums_before_update(shape, kernel.rows):
            sums_LK = features_DB.new_empty(chunk, shape.fan_in, dtype=torch.float32)
        self._launch = Launch(
            kernel.variant,
            features_DB.device,
            (kernel.label_blocks(features_DB.device, chunk),),
            kernel.shared_bytes,
            gradient_LB=gradient_LB,
            features_DB=features_DB,
            index_LK=layer.index,
            dweight_LK=sums_LK,
            **update_arguments(layer, update),
            begin=0,
            end=chunk,
            stride=stride,
            num_features=shape.num_features,
            fan_in=shape.fan_in,
        )

    def run(self, begin: int, end: int) -> None:
        """Update the labels [begin, end) from the gradients of their scores."""
        self._launch.start(begin=begin, end=end)
