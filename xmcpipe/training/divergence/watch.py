"""Notices a training that diverges: losses, gradients, weights or scores that aren't finite.

A step whose loss or gradient isn't finite is named in a warning, with what was in its batch. With `memory =
"paper"` its update is left out, so that one bad batch does no harm; with "light" the forward pass has already
made it. After MOST_IN_A_ROW such steps in a row the training ends. Meanwhile no checkpoint is written, and
one is never written of weights or scores that aren't finite: so the last checkpoint is good, and no model
that diverged is published.
"""

import logging
import math
from collections.abc import Callable

import torch
from torch import Tensor

from xmcpipe.data.shards.files import Int64s
from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling.checks.finite import is_finite
from xmcpipe.modeling.model import Model
from xmcpipe.modeling.topk import top_labels_of
from xmcpipe.training.checkpoint import Progress
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.feed import Batch, Feed
from xmcpipe.training.updates.protocol import State

logger = logging.getLogger(__name__)

MOST_IN_A_ROW = 3
NAMED_DOCUMENTS = 3  # ids of documents in a warning


class Divergence:
    """Watches the steps of a training of `model` on `feed`; `embed` returns float32 [B, E] for a batch."""

    def __init__(
        self, config: TrainConfig, model: Model, feed: Feed, embed: Callable[[Batch], Tensor]
    ) -> None:
        self._config, self._model, self._feed, self._embed = config, model, feed, embed
        self._in_a_row = 0  # the latest steps that failed

    def see(self, step: int, loss: float, updated: bool, group: list[Int64s]) -> None:
        """See the step number `step`, from 1, over the batches of `group`; `updated`: its gradient is finite.

        Raises XmcpipeError for the last of MOST_IN_A_ROW steps whose loss or gradient isn't finite.
        """
        if math.isfinite(loss) and updated:
            self._in_a_row = 0
            return
        self._in_a_row += 1
        what = f"the loss is {loss}" if not math.isfinite(loss) else "the gradient is not finite"
        line = f"{what} at step {step}, in {self._named(group)}"
        if self._in_a_row >= MOST_IN_A_ROW:
            raise XmcpipeError(
                f"training diverged: {line}; {MOST_IN_A_ROW} steps in a row failed, and the last checkpoint "
                "is from before them",
                self._remedy(),
            )
        consequence = "" if updated else ": its update is left out"
        logger.warning("warning: %s%s (%s)", line, consequence, self._remedy())

    def allows_checkpoint(self, progress: Progress, state: State) -> bool:
        """Whether a checkpoint may be written now: not within a row of steps that failed.

        Raises XmcpipeError unless weights, `state` and the best scores of some documents are finite.
        """
        if self._in_a_row and not progress.finished:
            return False
        for name, tensor in {**self._model.state_dict(), **state.tensors()}.items():
            if tensor.is_floating_point() and not is_finite(tensor):
                raise self._diverged(progress, name)
        if not bool(torch.isfinite(self._best_scores()).all()):
            raise self._diverged(progress, "a label's score")
        return True

    @torch.no_grad()
    def _best_scores(self) -> Tensor:
        """The best scores of the first training documents, float32 [B, 5]."""
        was_training = self._model.training
        self._model.eval()  # without dropout, so no random number is drawn
        batch = self._feed.batch(self._feed.train_rows[: self._config.batch_size])
        features_BD, chunk = self._model.features(self._embed(batch)), self._config.label_chunk
        _, scores_BK = top_labels_of(self._model, features_BD, 5, chunk, batch.words)
        self._model.train(was_training)
        return scores_BK

    def _diverged(self, progress: Progress, what: str) -> XmcpipeError:
        return XmcpipeError(
            f"training diverged: after step {progress.step} {what} is not finite; nothing later than the "
            "last good checkpoint is kept",
            self._remedy(),
        )

    def _named(self, group: list[Int64s]) -> str:
        """What is in the batches of `group`, for example "a batch of 32 documents (a, b, c, …)"."""
        rows, shards = [int(row) for batch in group for row in batch], self._feed.shards
        ids = shards.ids().take(rows[:NAMED_DOCUMENTS]).to_pylist()
        more = ", …" if len(rows) > len(ids) else ""
        tokens = int(shards.lengths[rows].max())
        named = f"({', '.join(map(str, ids))}{more})"
        return f"a batch of {len(rows):,} documents {named} of up to {tokens:,} tokens"

    def _remedy(self) -> str:
        """What to change in the recipe."""
        config, rates = self._config, {}
        if not config.encoder.frozen:
            rates["train.encoder.lr"] = config.encoder.lr
        rates["train.head.lr"] = config.head.lr
        if config.head.word_fan_in:
            rates["train.head.word_lr"] = config.head.word_lr
        names = " or ".join(f"{name}, now {rate:g}" for name, rate in rates.items())
        narrow = "; or set train.precision = 'bfloat16'" if config.precision == "float16" else ""
        return f"lower {names}{narrow}"
