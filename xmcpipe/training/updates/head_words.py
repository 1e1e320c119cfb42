"""The heads of a model with the state of their words, as both memory modes update them."""

from collections.abc import Iterator
from dataclasses import dataclass

from xmcpipe.modeling.heads import Head
from xmcpipe.modeling.model import Model
from xmcpipe.modeling.word_sgd import WordSGD
from xmcpipe.ops.layer import Positives
from xmcpipe.ops.word_layer import Words
from xmcpipe.training.feed import Batch, positives_of_heads
from xmcpipe.training.head_config import HeadConfig


@dataclass(frozen=True)
class HeadWords:
    """A head, and the plain SGD of its words with its peak learning rate."""

    head: Head
    sgd: WordSGD
    rate: float


class AllWords:
    """The words of all heads of `model`."""

    def __init__(self, model: Model, config: HeadConfig) -> None:
        rates = (config.word_lr, config.frequent_word_lr)
        self.heads = [
            HeadWords(head, WordSGD.of(head), rate)
            for head, rate in zip(model.heads, rates, strict=False)  # a model may have one head
        ]

    def begin(self, step: int, rate_factor: float) -> None:
        """Begin step number `step`, from 0."""
        for each in self.heads:
            each.sgd.begin(step, each.rate * rate_factor)

    def of_step(self, batch: Batch, weight: float) -> Iterator[tuple[Head, Positives, Words]]:
        """Each head with its positive pairs and words; `weight` as in `WordSGD.of_step`."""
        for each, positives in zip(self.heads, positives_of_heads(batch), strict=True):
            yield each.head, positives, each.sgd.of_step(each.head, batch.words, weight)
