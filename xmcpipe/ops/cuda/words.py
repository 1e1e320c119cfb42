"""The words of the layer by kernels/ffi_word_scores.cu and ffi_word_update.cu.

The caller has checked the arguments, and `rows.supports` accepts index and weight of the layer.

B rows, L labels, K' words that a label reads, U different words of a batch; `stride` is B rounded up to whole
groups of eight rows.
"""

import torch
from torch import Tensor

from xmcpipe.ops.cuda.geometry import FORMATS, card_of, gradient_chunk
from xmcpipe.ops.cuda.rows import GatherLaunch, by_label, lanes_of_label, padded
from xmcpipe.ops.nvrtc.kernel_table import KERNELS
from xmcpipe.ops.nvrtc.launch import Launch
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
    if grad_BL.numel() == 0:
        return
    kernels, card = WordKernels(words, layer), card_of(grad_BL.device)
    chunk = gradient_chunk(len(grad_BL), len(layer.weight), card)
    for gradient_LB, begin, end in by_label(grad_BL, chunk):
        kernels.update(gradient_LB, update, begin, end)


class WordKernels:
    """The kernels for a batch and a layer; what they read of the batch is prepared once, for all chunks.

    All chunks pass the same tensors, with other values, and none is larger than the first.
    """

    def __init__(self, words: BatchWords, layer: WordLayer) -> None:
        self._layer, self._num_rows = layer, words.values_UB.shape[1]
        self._values_UB = padded(words.values_UB)
        self._batch = {"held": held_words(words.place), "place": words.place, "values_UB": self._values_UB}
        self._scoring: Launch | None = None
        self._updating: Launch | None = None

    def write_scores(self, out_LB: Tensor, begin: int, end: int) -> None:
        """Write the words' part of the scores of [begin, end) to the first rows of `out_LB` [.., stride]."""
        if self._scoring is None:
            self._scoring = self._scores_launch(out_LB, end - begin, by_label=1)
        self._scoring.start(begin=begin, end=end)

    def add_scores(self, scores_BL: Tensor) -> None:
        """Add the words' part to the scores of all labels, contiguous float32 [B, L]."""
        self._scores_launch(scores_BL, len(self._layer.weight), by_label=0).start()

    def update(self, gradient_LB: Tensor, update: WordUpdate, begin: int, end: int) -> None:
        """Update the labels [begin, end) from the gradients of their scores, the rows of `gradient_LB`."""
        if self._updating is None:
            self._updating = self._update_launch(gradient_LB, update, end - begin)
        self._updating.start(begin=begin, end=end)

    def _update_launch(self, gradient_LB: Tensor, update: WordUpdate, num_labels: int) -> Launch:
        kernel = self._kernel("ffi_word_update")
        return Launch(
            kernel.variant,
            gradient_LB.device,
            (kernel.label_blocks(gradient_LB.device, num_labels),),
            kernel.shared_bytes,
            weight_LK=self._layer.weight,
            index_LK=self._layer.index,
            **self._batch,
            rate_U=update.rate_U,
            gradient_LB=gradient_LB,
            step=update.step,
            seed=update.seed ^ SEED_OF_WORDS,
            first_label=update.first_label,
            begin=0,
            end=num_labels,
            stride=self._stride,
            fan_in=self._fan_in,
        )

    def _scores_launch(self, out: Tensor, num_labels: int, by_label: int) -> Launch:
        kernel = self._kernel("ffi_word_scores", BY_LABEL=by_label)
        row_blocks = kernel.row_blocks(self._stride)
        return Launch(
            kernel.variant,
            out.device,
            (kernel.label_blocks(out.device, num_labels, row_blocks), row_blocks),
            kernel.shared_bytes,
            weight_LK=self._layer.weight,
            index_LK=self._layer.index,
            **self._batch,
            out=out,
            begin=0,
            end=num_labels,
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
    # Computed on the device: a copy of numbers from the host would wait for it, and no graph records one.
    bits = torch.arange(BITS, dtype=torch.uint8, device=place.device)
    values = torch.bitwise_left_shift(torch.ones_like(bits), bits)
    return (held * values).sum(1, dtype=torch.uint8).view(torch.int32)  # bytes in the order of x86, ARM, GPUs
