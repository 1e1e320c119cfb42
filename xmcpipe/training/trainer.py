"""The training loop: one optimizer step, and around it schedule, rewiring, validation, checkpoints and the
log.
"""

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from xmcpipe.data.shards.files import Int64s
from xmcpipe.errors import XmcpipeError
from xmcpipe.memory.measure import StepMeter
from xmcpipe.modeling.devices import AUTOCAST
from xmcpipe.modeling.heads import FFIHead
from xmcpipe.modeling.losses import scale
from xmcpipe.modeling.model import Model
from xmcpipe.modeling.tensors import TensorFile, save
from xmcpipe.progress import Bar, progress
from xmcpipe.training import checkpoint
from xmcpipe.training.checkpoint import Progress
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.feed import Batch, Feed
from xmcpipe.training.gradients import Fork, due
from xmcpipe.training.light import LightUpdates
from xmcpipe.training.log import MetricsLog
from xmcpipe.training.paper import PaperUpdates
from xmcpipe.training.rewiring import OneProcess, cut_fraction, cut_threshold, rewire
from xmcpipe.training.schedule import auxiliary_weight, prune_threshold, rate_factor
from xmcpipe.training.updates import Updates
from xmcpipe.training.used_memory import used_bytes
from xmcpipe.training.validation import validate

UPDATES: dict[str, Callable[[TrainConfig, Model, torch.device], Updates]] = {
    "paper": PaperUpdates,
    "light": LightUpdates,
}


class Trainer:
    """Trains `model` on `feed`.

    `clusters` (int64 [L]) are wanted where the model has an auxiliary branch. What outlives a kill
    (checkpoint, best weights, log) is kept in `scratch`.
    """

    def __init__(
        self,
        config: TrainConfig,
        model: Model,
        feed: Feed,
        clusters: Tensor | None,
        device: torch.device,
        scratch: Path,
    ) -> None:
        self.config, self.model, self.feed, self.device, self.scratch = config, model, feed, device, scratch
        self.clusters = None if clusters is None else clusters.to(device, torch.int32)
        self.total_steps = feed.steps_per_epoch * config.epochs
        if config.max_steps:
            self.total_steps = min(self.total_steps, config.max_steps)
        self.updates = UPDATES[config.memory](config, model, device)
        # Half precision for the head pays on a GPU's tensor cores; a CPU sums scores in float32 throughout.
        half = AUTOCAST[config.precision]
        self.head_dtype = half if device.type == "cuda" and half else torch.float32
        self.progress = Progress(auxiliary=model.auxiliary is not None)
        self.meter = StepMeter()
        self.norms: dict[str, float | None] = {}  # of the encoder's gradients in the last step, if taken

    def fit(self) -> Progress:
        """Train to the end, from the last checkpoint in `scratch` if there is one; the model ends as the best
        seen.
        """
        self._resume()
        log = MetricsLog(self.scratch / "log", self.progress.step)
        started, self._checkpointed = time.monotonic() - self.progress.seconds, time.monotonic()
        self._clock = lambda: time.monotonic() - started
        self.model.train()
        try:
            with progress("train", self.total_steps, "step") as bar:
                bar.update(self.progress.step)
                while not self.progress.finished:
                    self._epoch(log, bar)
        finally:
            log.close()
        best = self.scratch / "best.safetensors"
        if best.is_file() and len(self.feed.validation_rows):
            file = TensorFile(best)
            for name, tensor in self.model.state_dict().items():
                file.read_into(name, tensor)
        return self.progress

    def time_steps(self, count: int) -> list[float]:
        """Seconds of each of the first `count` steps, rewiring included: for benchmarks.

        No validation and no checkpoint; the last batch of an epoch may be smaller. On a CPU the
        first MEASURED_STEPS are slower, and everywhere those that take norms of gradients.
        """
        log, times = MetricsLog(self.scratch / "log", 0), []
        groups = itertools.chain.from_iterable(self.feed.groups(epoch) for epoch in itertools.count())
        self.model.train()
        for group in itertools.islice(groups, count):
            begin = time.perf_counter()
            self._before_step()
            with self.meter.watch(self, group):
                self._step(group)  # ends by reading the loss: the device has done all of it
            self.progress.step += 1
            self._rewire(log)
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            times.append(time.perf_counter() - begin)
        log.close()
        return times

    def _resume(self) -> None:
        place = checkpoint.latest(self.scratch)
        if place is None:
            return
        self.progress = checkpoint.read_progress(place)
        if not self.progress.auxiliary:
            self._drop_auxiliary()
        checkpoint.restore(place, self.model, self.updates, self.device)

    def _epoch(self, log: MetricsLog, bar: Bar) -> None:
        state = self.progress
        groups = self.feed.groups(state.epoch)
        for group in groups[state.position :]:
            self._before_step()
            with self.meter.watch(self, group):
                loss = self._step(group)
            state.documents += sum(len(rows) for rows in group)
            state.step, state.position = state.step + 1, state.position + 1
            self._after_step(loss, log, bar)
            if state.step >= self.total_steps:
                break
        state.epoch, state.position = state.epoch + 1, 0
        last = state.step >= self.total_steps
        if len(self.feed.validation_rows) and (last or state.epoch % self.config.evaluate_every == 0):
            self._evaluate(log)
        patience = self.config.patience
        state.finished = last or bool(patience and state.since_best >= patience)
        self._checkpoint()

    def _step(self, group: list[Int64s]) -> float:
        """One optimizer step over the batches of `group`; returns the main loss."""
        num_rows, total = sum(len(rows) for rows in group), 0.0
        self.norms = {}
        for number, rows in enumerate(group):
            batch = self.feed.batch(rows)
            fork = Fork(self.model.dropout(self._embed(batch)))
            main, auxiliary, weight = self._losses(fork, batch, num_rows)
            self.updates.backward((1.0 - weight) * main + weight * auxiliary)
            if number == 0:
                self._measure(fork, num_rows / len(rows))
            fork.backward()
            total += float(main.detach())
        self.updates.step()
        return total

    def _measure(self, fork: Fork, batches: float) -> None:
        """Where they are due, take the norms of the gradients of (1 - s) * main and of s * auxiliary over all
        of the encoder, without a loss scale and before any clipping.

        Together these two gradients are what the step is taken by. Of accumulated batches it is the first,
        its gradients times their number `batches`.
        """
        if not due(self.progress.step + 1, self.config.gradients_every):
            return
        learning = [parameter for parameter in self.model.encoder.parameters() if parameter.requires_grad]
        if learning:
            self.norms = fork.norms(learning, self.updates.loss_scale / batches)

    def _losses(self, fork: Fork, batch: Batch, num_rows: int) -> tuple[Tensor, Tensor | float, float]:
        """Main loss, auxiliary loss, and the weight s of the latter, for a batch of a group of `num_rows`
        rows.
        """
        config, model = self.config, self.model
        weight = self.auxiliary_weight if model.auxiliary is not None else 0.0
        features_BD = model.features(fork.main).to(self.head_dtype)
        factor = scale(config.loss, config.bce_reduction, num_rows, self.feed.num_labels)
        main = self.updates.main_loss(features_BD, batch.positives, factor, 1.0 - weight)
        if model.auxiliary is None or self.clusters is None or weight == 0.0:
            return main, 0.0, 0.0
        clusters_P = self.clusters[batch.positives.labels].long()
        auxiliary = model.auxiliary.loss(fork.auxiliary, batch.positives.rows, clusters_P)
        return main, auxiliary * (len(batch) / num_rows), weight

    def _embed(self, batch: Batch) -> Tensor:
        dtype = self.updates.autocast
        with torch.autocast(self.device.type, dtype, enabled=dtype is not None):
            return self.model.embed(batch.input_ids, batch.mask)

    @property
    def auxiliary_weight(self) -> float:
        """The weight s at the current step."""
        epoch = self.progress.step / self.feed.steps_per_epoch
        return auxiliary_weight(epoch, self.config.auxiliary.weight, self.config.auxiliary.cutoff_epoch)

    def _before_step(self) -> None:
        if self.progress.auxiliary and self.auxiliary_weight == 0.0:
            self._drop_auxiliary()
        step = self.progress.step
        self.updates.begin(step, rate_factor(step, self.config.warmup_steps, self.total_steps))

    def _drop_auxiliary(self) -> None:
        self.updates.drop_auxiliary()
        self.model.auxiliary, self.progress.auxiliary = None, False

    def _after_step(self, loss: float, log: MetricsLog, bar: Bar) -> None:
        state = self.progress
        if not torch.isfinite(torch.tensor(loss)):
            raise XmcpipeError(
                f"the loss is {loss} at step {state.step}",
                "lower train.encoder.lr or train.head.lr, or use bfloat16",
            )
        state.loss_sum, state.loss_count = state.loss_sum + loss, state.loss_count + 1
        if self.norms:
            log.write("gradient", state.step, **self.norms)
        self._rewire(log)
        bar.update(1)
        if state.step % self.config.log_every == 0 or state.step == self.total_steps:
            rate = state.documents / self._clock()
            mean, memory = state.loss_sum / state.loss_count, used_bytes(self.device)
            state.loss_sum, state.loss_count = 0.0, 0
            log.write(
                "train",
                state.step,
                epoch=state.step / self.feed.steps_per_epoch,
                loss=mean,
                auxiliary_weight=self.auxiliary_weight,
                rate_factor=rate_factor(state.step - 1, self.config.warmup_steps, self.total_steps),
                documents_per_second=rate,
                memory_bytes=memory,
            )
            bar.set_postfix_str(f"loss {mean:.4g}, {rate:.0f} documents/s, {memory / 2**30:.2f} GiB")
        due = time.monotonic() - self._checkpointed > 60 * self.config.checkpoint_minutes
        inside = state.position < self.feed.steps_per_epoch and state.step < self.total_steps
        if due and inside:  # the end of an epoch writes its own, after the evaluation
            self._checkpoint()

    def _rewire(self, log: MetricsLog) -> None:
        config, head, state = self.config.rewire, self.model.head, self.progress
        last = config.until * self.total_steps
        if (
            not isinstance(head, FFIHead)
            or not config.interval
            or state.step % config.interval
            or state.step > last
        ):
            return
        if config.mode == "fraction":
            cut = cut_fraction(head.weight, config.fraction, OneProcess())
        else:
            cut = cut_threshold(prune_threshold(state.step, last, config.threshold, config.final_threshold))
        state.rewirings += 1
        replaced = rewire(head, self.updates.moments(), cut, self.config.seed, state.rewirings)
        log.write("rewire", state.step, replaced=replaced, share=replaced / head.weight.numel())

    def _evaluate(self, log: MetricsLog) -> None:
        state = self.progress
        batches, num_labels = self.feed.validation_batches(), self.feed.num_labels
        figures = validate(self.model, batches, self._features, num_labels, self.config.label_chunk)
        state.evaluations.append({"step": state.step, "epoch": state.epoch, **figures})
        log.write("validation", state.step, **figures)
        if state.best_value is None or figures[self.config.best_by] > state.best_value:
            state.best_value, state.best_step, state.since_best = figures[self.config.best_by], state.step, 0
            save(self.scratch / "best.safetensors", self.model.state_dict())
        else:
            state.since_best += 1

    def _features(self, batch: Batch) -> Tensor:
        return self.model.features(
            self._embed(batch)
        )  # float32: half precision would make ties of near scores

    def _checkpoint(self) -> None:
        self.progress.seconds = self._clock()
        checkpoint.write(self.scratch, self.progress, self.model, self.updates, self.device)
        self._checkpointed = time.monotonic()

    _clock: Callable[[], float]
    _checkpointed: float
