"""Measures the memory of the first steps of a training on a CPU, where torch has no allocation counters.

On a GPU torch's allocator counts: `torch.cuda.max_memory_allocated`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from xmcpipe.data.shards.files import Int64s
from xmcpipe.memory.live_bytes import LiveBytes
from xmcpipe.memory.parts import count_all
from xmcpipe.memory.shape import BatchShape
from xmcpipe.training.trainer import Trainer
from xmcpipe.training.used_memory import host_bytes

MEASURED_STEPS = 3  # only a few, since counting makes a step slower


class FirstStepsMeter:
    """A StepMeter that measures the first steps of a training on a CPU, and nothing on a GPU.

    `steps`: steps measured so far. `peak`: bytes of live tensors, 0 before the first step. `shape`: shape of
    the batch that had this peak. `gradients`: whether norms of gradients were measured in that step, which
    makes activations live longer (training.gradients). `process`: resident bytes other than tensors after the
    first step, when all modules are imported.
    """

    def __init__(self) -> None:
        self.peak = self.process = self.steps = 0
        self.shape: BatchShape | None = None
        self.gradients = False

    @contextmanager
    def watch(self, trainer: Trainer, group: list[Int64s]) -> Iterator[None]:
        """A context around the step over the batches of `group`."""
        if self.steps == MEASURED_STEPS or trainer.device.type != "cpu":
            yield
            return
        meter = LiveBytes()
        count_all(meter, trainer)
        with meter:
            yield
        self.steps += 1
        if self.steps == 1:
            self.process = max(host_bytes() - meter.live, 0)
        # The second step always replaces the first, in which the optimizers have no state yet.
        if self.steps <= 2 or meter.peak > self.peak:
            shapes = [shape_of(trainer, rows) for rows in group]
            self.peak, self.gradients = meter.peak, bool(trainer.norms)
            self.shape = max(shapes, key=lambda shape: shape.rows * shape.tokens)


def shape_of(trainer: Trainer, rows: Int64s) -> BatchShape:
    """The shape of the batch of `rows`."""
    feed, auxiliary = trainer.feed, trainer.model.auxiliary
    tokens, positives = feed.shards.lengths[rows], feed.shards.labels.lengths[rows]
    clusters = 0 if auxiliary is None else auxiliary.out_features
    return BatchShape(feed.num_labels, clusters, len(rows), int(tokens.max()), int(positives.sum()))
