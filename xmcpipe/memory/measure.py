"""What the first steps of a training really hold on a CPU, where nobody keeps the books of tensors.

(On a GPU torch's allocator keeps them: `torch.cuda.max_memory_allocated`.)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from xmcpipe.data.shards.files import Int64s
from xmcpipe.memory.live_bytes import LiveBytes
from xmcpipe.memory.parts import hold_all
from xmcpipe.memory.shape import StepShape
from xmcpipe.training.used_memory import host_bytes

if TYPE_CHECKING:
    from xmcpipe.training.trainer import Trainer

MEASURED_STEPS = 3  # counting slows a step down


class StepMeter:
    """Measures the first steps of a training on a CPU.

    `peak` is bytes of live tensors, 0 where none was measured; `shape` is that of the batch which held them,
    `gradients` whether norms of gradients (training.gradients) were taken then, which keeps activations for
    longer; `process` is what else was resident after the first step, when all is imported.
    """

    def __init__(self) -> None:
        self.peak = self.process = 0
        self.shape: StepShape | None = None
        self.gradients = False
        self._done = 0

    @contextmanager
    def watch(self, trainer: "Trainer", group: list[Int64s]) -> Iterator[None]:
        """Around the step over the batches of `group`."""
        if self._done == MEASURED_STEPS or trainer.device.type != "cpu":
            yield
            return
        meter = LiveBytes()
        hold_all(meter, trainer)
        with meter:
            yield
        self._done += 1
        if self._done == 1:
            self.process = max(host_bytes() - meter.live, 0)
        if self._done <= 2 or meter.peak > self.peak:  # in the very first the optimizers have no state yet
            shapes = [shape_of(trainer, rows) for rows in group]
            self.peak, self.gradients = meter.peak, bool(trainer.norms)
            self.shape = max(shapes, key=lambda shape: shape.rows * shape.tokens)


def shape_of(trainer: "Trainer", rows: Int64s) -> StepShape:
    """The shape of the batch of `rows`."""
    feed, auxiliary = trainer.feed, trainer.model.auxiliary
    tokens, positives = feed.shards.lengths[rows], feed.shards.labels.lengths[rows]
    clusters = 0 if auxiliary is None else auxiliary.out_features
    return StepShape(feed.num_labels, clusters, len(rows), int(tokens.max()), int(positives.sum()))
