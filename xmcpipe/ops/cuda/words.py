"""The words of the layer by kernels/ffi_word_scores.cu and ffi_word_update.cu.

The caller has checked the arguments, and `rows.supports` accepts index and weight of the layer.

B rows, L labels, K' words that a label reads, U different words of a batch; `stride` is B rounded up to whole
groups of eight rows.
"""

import torch
from torch import Tensor

from xmcpipe.ops.cuda.geometry import FORMATS, padded_rows
from xmcpipe.ops.cuda.rows import GatherLaunch, by_label, lanes_of_label
from xmcpipe.ops.nvrtc.kernel_table import KERNELS
from xmcpipe.ops.nvrtc.launch import launch
from xmcpipe.ops.word_layer import MAX_WORDS, SEED_OF_WORDS, BatchWords, WordLayer, WordUpdate

BITS = 8  # of a byte


def scores_(scores_BL: Tensor, words: BatchWords, layer: WordLayer) -> None:
    """See `ops.words.product.word_scores_op_`."""
    if scores_BL.numel() == 0:
        return
    written_BL = scores_BL.contiguous()  # a copy only if the scores were not contiguous
    WordKernels(words, layer).add_scores(written_BL)
    if written_BL.data_ptr() != scores_BL.data_ptr():
        scores_BL.copy_(written_BL)


def update_(grad_BL: Tensor, words: BatchWords, layer: WordLayer, update: WordUpdate) -> None:
    """See `ops.words.product.word_update_op_`."""
    if grad_BL.numel() > 0:
        WordKernels(words, layer).update(by_label(grad_BL), update, 0, len(layer.weight))


class WordKernels:
    """The kernels for a batch and a layer; what they read of the batch is prepared once, for all chunks."""

    def __init__(self, words: BatchWords, layer: WordLayer) -> None:
        self._layer, self._num_rows = layer, words.values_UB.shape[1]
        self._values_UB = _padded(words.values_UB)
        self._batch = {"held": held_words(words.place), "place": words.place, "values_UB": self._values_UB}

    def write_scores(self, out_LB: Tensor, begin: int, end: int) -> None:
        """Write the words' part of the scores of [begin, end) to the first rows of `out_LB` [.., stride]."""
        self._scores(out_LB, begin, end, self._kernel("ffi_word_scores", BY_LABEL=1))

    def add_scores(self, scores_BL: Tensor) -> None:
        """Add the words' part to the scores of all labels, contiguous float32 [B, L]."""
        self._scores(scores_BL, 0, len(self._layer.weight), self._kernel("ffi_word_scores", BY_LABEL=0))

    def update(self, gradient_LB: Tensor, update: WordUpdate, begin: int, end: int) -> None:
        """Update the labels [begin, end) from the gradients of their scores, the rows of `gradient_LB`."""
        kernel = self._kernel("ffi_word_update")
        launch(
            kernel.variant,
            gradient_LB.device,
            (kernel.label_blocks(gradient_LB.device, end - begin),),
            kernel.shared_bytes,
            weight_LK=self._layer.weight,
            index_LK=self._layer.index,
            **self._batch,
            rate_U=update.rate_U,
            gradient_LB=gradient_LB,
            step=update.step,
            seed=update.seed ^ SEED_OF_WORDS,
            first_label=update.first_label,
            begin=begin,
            end=end,
            stride=self._stride,
            fan_in=self._fan_in,
        )

    def _scores(self, out: Tensor, begin: int, end: int, kernel: GatherLaunch) -> None:
        row_blocks = kernel.row_blocks(self._stride)
        launch(
            kernel.variant,
            out.device,
            (kernel.label_blocks(out.device, end - begin, row_blocks), row_blocks),
            kernel.shared_bytes,
            weight_LK=self._layer.weight,
            index_LK=self._layer.index,
            **self._batch,
            out=out,
            begin=begin,
            end=end,
            batch=self._num_rows,
            stride=self._stride,
            fan_in=self._fan_in,
        )

    def _kernel(self, entry: str, **macros: int) -> GatherLaunch:
        """How to launch a kernel. Its shared memory is static: values stay in L2."""
        group = lanes_of_label(self._stride)
        weight = FORMATS[self._layer.weight.dtype]
        return GatherLaunch(KERNELS[entry].variant(WEIGHT=weight, GROUP=group, **macros), 0, group)

    @property
    def _stride(self) -> int:
        return self._values_UB.shape[1]

    @property
    def _fan_in(self) -> int:
        return self._layer.weight.shape[1]


def held_words(place: Tensor) -> Tensor:
    """A bit for each word, whether the batch has it: int32 [2048], word w in bit w % 32 of number w // 32."""
    held = (place >= 0).view((MAX_WORDS + 1) // BITS, BITS)
    values = torch.tensor([1 << bit for bit in range(BITS)], dtype=torch.uint8, device=place.device)
    return (held * values).sum(1, dtype=torch.uint8).view(torch.int32)  # bytes in the order of x86, ARM, GPUs


def _padded(values_UB: Tensor) -> Tensor:
    """The values [U, stride], with zeros in the padding."""
    num_words, num_rows = values_UB.shape
    padded_US = values_UB.new_zeros(num_words, padded_rows(num_rows))
    padded_US[:, :num_rows] = values_UB
    return padded_US
