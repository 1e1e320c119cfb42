"""A running mean of the weights, which is evaluated and saved, while training goes on with the weights.

Weights at a high rate wander around a minimum; their mean lies nearer to it (Polyak & Juditsky, 1992). The
mean is exponential: each step moves it by 1 - decay towards the weights. In the first steps the decay is
lower, (1 + steps) / (10 + steps), so that the initial weights, which are noise, are soon forgotten.

A rewiring replaces connections. The mean of a new one has nothing to do with the old one at its place, so it
starts anew at the new weight, which is 0.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from xmcpipe.modeling.model import Model
from xmcpipe.modeling.tensors import TensorFile
from xmcpipe.training.config import TrainConfig

PREFIX = "average."  # of the names of tensors
PIECE_VALUES = 1 << 22  # that are copied at a time: 16 MiB


class Average:
    """The means of the weights of `model`, float32: of its heads with their words, and what is before them.

    A `State` (`updates.protocol`). A frozen encoder and the auxiliary branch have no means. If the recipe
    wants none, nothing has, and all methods do nothing. Weights with means are float32 (TrainTable has
    checked it), so that both can change places without a loss.
    """

    def __init__(self, config: TrainConfig, model: Model) -> None:
        self._decay = config.average_decay
        self._weights = {} if config.average == "none" else dict(_averaged(model))
        self._means = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self._shown = False  # whether the model has the means, and `_means` the weights

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the means towards the weights after step number `step`, from 1."""
        share = 1.0 - min(self._decay, (1.0 + step) / (10.0 + step))
        for name, weight in self._weights.items():
            self._means[name].lerp_(weight, share)

    @torch.no_grad()
    def rewired(self) -> None:
        """Let the means of connections start anew whose weight is exactly 0: a rewiring made them."""
        for name, weight in self._weights.items():
            if name.endswith(("head.weight", "head.word_weight")):
                for mean, piece in _pieces(self._means[name], weight):
                    mean.masked_fill_(piece == 0.0, 0.0)

    @torch.no_grad()
    def show(self, means: bool) -> None:
        """Give the model the means, or its weights back; nothing happens if it has them already."""
        if means == self._shown:
            return
        for name, weight in self._weights.items():
            for mean, piece in _pieces(self._means[name], weight):
                kept = piece.clone()
                piece.copy_(mean)
                mean.copy_(kept)
        self._shown = means

    def tensors(self) -> dict[str, Tensor]:
        assert not self._shown, "a checkpoint has the weights as the model's, and the means beside them"
        return {f"{PREFIX}{name}": mean for name, mean in self._means.items()}

    def facts(self) -> dict[str, Any]:
        return {}

    def restore(self, file: TensorFile, prefix: str, facts: dict[str, Any]) -> None:
        for name, mean in self._means.items():
            file.read_into(f"{prefix}{PREFIX}{name}", mean)


def _averaged(model: Model) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in model.named_parameters():
        # The weights of words are trained without autograd.
        if (parameter.requires_grad or name.endswith("word_weight")) and not name.startswith("auxiliary."):
            yield name, parameter


def _pieces(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Views of the elements of contiguous tensors of one shape, some at a time."""
    flat = [tensor.detach().view(-1) for tensor in tensors]
    for begin in range(0, len(flat[0]), PIECE_VALUES):
        yield tuple(each[begin : begin + PIECE_VALUES] for each in flat)
