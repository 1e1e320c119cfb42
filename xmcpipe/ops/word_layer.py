"""Bundles the arguments that the operators on words share, as `ops.layer` does for features.

B rows, L labels, K' words that a label reads, U different words of a batch.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from xmcpipe.ops.layer import Update

MAX_WORDS = 65_535
NO_WORD = 65_535  # the index of a connection without a word: no document has it
SEED_OF_WORDS = 0x776F7264  # keeps the random bits of the words' weights apart from those of the features'


class BatchWords(NamedTuple):
    """The words of the documents of a batch.

    `place`: int32 [65,536], the row of a word in `values_UB`, or -1 for a word that no document has.
    `values_UB`: float32 [U, B], tf-idf.
    """

    place: Tensor
    values_UB: Tensor

    @staticmethod
    def of(ids_T: Tensor, values_T: Tensor, rows_T: Tensor, num_rows: int) -> "BatchWords":
        """From T distinct (row, word) pairs: int64 ids below 65,535, float32 values, int64 rows."""
        used_U, column_T = torch.unique(ids_T, return_inverse=True)
        place = torch.full((MAX_WORDS + 1,), -1, dtype=torch.int32, device=ids_T.device)
        place[used_U] = torch.arange(len(used_U), dtype=torch.int32, device=ids_T.device)
        values_UB = values_T.new_zeros(len(used_U), num_rows)
        values_UB[column_T, rows_T] = values_T
        return BatchWords(place, values_UB)

    def rates(self, rate: Tensor) -> Tensor:
        """The learning rate of each word of the batch, float32 [U], for the scalar float32 `rate`.

        A step along one weight is stable below 2 / curvature. The curvature of the summed binary cross
        entropy is at most a quarter of the sum of squares of the word's values, so the rate of a word that
        many documents of the batch have is lowered to the reciprocal of that bound.
        """
        curvature_U = self.values_UB.square().sum(1) / 4.0
        return rate / torch.clamp(rate * curvature_U, min=1.0)


class WordLayer(NamedTuple):
    """The words that each label reads: indices are distinct in a row, except for NO_WORD."""

    weight: Tensor
    """[L, K'], bfloat16, float16 or float32."""
    index: Tensor  # type: ignore[assignment]  # tuple.index is hidden on purpose, as in ops.layer
    """uint16 [L, K']."""

    def part(self, begin: int, end: int) -> "WordLayer":
        """Views of the labels [begin, end)."""
        return WordLayer(self.weight[begin:end], self.index[begin:end])


class WordUpdate(NamedTuple):
    """One step of plain SGD for the connections whose word is in the batch: w -= rate * d(summed loss)/dw."""

    rate_U: Tensor
    """float32 [U]: the rate of each word (`BatchWords.rates`)."""
    step: Tensor
    """int64 []: number of the step, for stochastic rounding."""
    seed: int
    first_label: int
    """Id of the layer's first label."""


class StepWords(NamedTuple):
    """The words of a training step: those of the batch, those that each label reads, and their update."""

    batch: BatchWords
    layer: WordLayer
    update: WordUpdate

    @staticmethod
    def of(batch: BatchWords, layer: WordLayer, rate_U: Tensor, update: Update) -> "StepWords":
        """The words of a step whose other weights are updated by `update`."""
        return StepWords(batch, layer, WordUpdate(rate_U, update.step, update.seed, update.first_label))

    def part(self, begin: int, end: int) -> "StepWords":
        """The same for the labels [begin, end), counted from the layer's first label."""
        update = self.update._replace(first_label=self.update.first_label + begin)
        return StepWords(self.batch, self.layer.part(begin, end), update)


Words = StepWords | None
"""The words of a step, None for a layer that reads features alone."""
