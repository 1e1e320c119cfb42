"""Plain SGD for the weights of words, in either memory mode: no gradient and no moment is stored.

The rate is that of one document: the update is `rate` times the gradient of the loss summed over the batch,
so it depends neither on the batch size nor on how a loss is averaged. Words are sparse; a word's weight moves
about once for each document that has it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from xmcpipe.modeling.heads import Head
from xmcpipe.ops.word_layer import BatchWords, StepWords, Words, WordUpdate


@dataclass(frozen=True)
class WordSGD:
    """The state of the present step: `rate` float32 [] and `step` int64 [], on the head's device."""

    rate: Tensor
    step: Tensor

    @staticmethod
    def of(head: Head) -> "WordSGD":
        """The state before the first step."""
        device = head.weight.device
        return WordSGD(torch.zeros((), device=device), torch.zeros((), dtype=torch.int64, device=device))

    def begin(self, step: int, rate: float) -> None:
        """Begin step number `step`, from 0."""
        self.rate.fill_(rate)
        self.step.fill_(step)

    def of_step(self, head: Head, batch: BatchWords | None, weight: float) -> Words:
        """The words of a batch and their update; None without words.

        `weight` is the factor of the batch's loss in the total loss.
        """
        if batch is None or head.word_layer is None:
            return None
        rate_U = batch.rates(self.rate * weight)
        update = WordUpdate(rate_U, self.step, head.shape.seed, head.shape.first_label)
        return StepWords(batch, head.word_layer, update)
