"""The training loop: optimizer steps with schedules, rewiring, validation, checkpoints and a log."""

import itertools
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from xmcpipe.config import to_table
from xmcpipe.data.shards.files import Int64s
from xmcpipe.modeling.checks.indices import require_sound_indices
from xmcpipe.modeling.devices import AUTOCAST
from xmcpipe.modeling.model import Model
from xmcpipe.progress import Bar, Figures, progress
from xmcpipe.signals import Interrupted, deferred, requested
from xmcpipe.training import checkpoint
from xmcpipe.training.checkpoint import Pace, Progress, Together
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.divergence import Divergence
from xmcpipe.training.feed import Batch, Feed
from xmcpipe.training.gradients import is_measured
from xmcpipe.training.growth.state import growth_of
from xmcpipe.training.log import MetricsLog, shown_figures
from xmcpipe.training.resume import load_best, newest_whole, save_if_best
from xmcpipe.training.rewiring import next_cut, rewire
from xmcpipe.training.schedule import auxiliary_weight, rate_factor
from xmcpipe.training.step import GradientStep
from xmcpipe.training.updates.averaging import Average
from xmcpipe.training.updates.modes import updates_of
from xmcpipe.training.updates.protocol import State
from xmcpipe.training.used_memory import used_bytes
from xmcpipe.training.validation import inverse_propensities, validate, value_of


class StepMeter(Protocol):
    """Watches the steps of a training, to measure them (see memory.measure)."""

    def watch(self, trainer: "Trainer", group: list[Int64s]) -> AbstractContextManager[None]:
        """A context around the step over the batches of `group`."""
        ...


class Trainer:
    """Trains `model` on `feed`; `updates` changes its parameters.

    `clusters` (int64 [L]) are required if the model has an auxiliary branch. `scratch` is the folder for
    everything that must survive a kill: checkpoint, best weights, log. `meter` watches every step.
    `device_type` is the device type whose arithmetic the head uses, by default that of `device`; a rehearsal
    (memory.rehearsal) passes another one.
    """

    def __init__(
        self,
        config: TrainConfig,
        model: Model,
        feed: Feed,
        clusters: Tensor | None,
        device: torch.device,
        scratch: Path,
        meter: StepMeter | None = None,
        device_type: str = "",
    ) -> None:
        self.config, self.model, self.feed, self.device, self.scratch = config, model, feed, device, scratch
        # On the head's device, which in a rehearsal is "meta" and differs from `device`.
        head_device = model.head.weight.device
        self.clusters = None if clusters is None else clusters.to(head_device, torch.int32)
        self.total_steps = feed.steps_per_epoch * config.epochs
        if config.max_steps:
            self.total_steps = min(self.total_steps, config.max_steps)
        self.updates = updates_of(config, model, device, device_type)
        # Features of 16 bits pay off on the tensor cores of a GPU; on a CPU the head reads float32.
        half = AUTOCAST[config.precision] if (device_type or device.type) == "cuda" else None
        self.average = Average(config, model)
        self.growth = growth_of(config, model, feed, self.total_steps, scratch)
        self.gradient_step = GradientStep(
            config, model, feed, self.clusters, self.updates, half or torch.float32, device.type, self.growth
        )
        self.progress = Progress(auxiliary=model.auxiliary is not None)
        self.divergence = Divergence(config, model, feed, self.gradient_step.embed)
        self.meter = meter

    @property
    def norms(self) -> dict[str, float | None]:
        """Norms of the encoder's gradients in the last step, {} if they were not measured."""
        return self.gradient_step.norms

    @property
    def auxiliary_weight(self) -> float:
        """The weight s of the auxiliary loss at the current step."""
        epoch = self.progress.step / self.feed.steps_per_epoch
        return auxiliary_weight(epoch, self.config.auxiliary.weight, self.config.auxiliary.cutoff_epoch)

    def fit(self) -> Progress:
        """Train to the end; continues from the last whole checkpoint in `scratch` if one exists.

        Afterwards the model has the weights of the best evaluation. Raises XmcpipeError for a training that
        diverges (see `divergence`), and if the file of these weights was damaged; Interrupted, after a
        checkpoint, for a signal.
        """
        lines = self._resume()  # sets the progress too
        log = MetricsLog(self.scratch / "log", lines, self.progress.step, self.config.run_name)
        if not self.progress.step:
            sizes = {**self.feed.sizes(), "steps": self.total_steps}
            log.write("settings", 0, train=to_table(self.config, keys="identity"), **sizes)
        self._pace = Pace(self.progress.seconds, self.config.checkpoint_minutes)
        self.model.train()
        try:
            done, show = self.progress.step, self._figures
            with deferred(), progress("train", self.total_steps, "step", initial=done, figures=show) as bar:
                while not self.progress.finished:
                    self._epoch(log, bar)
        finally:
            log.close()
        self.average.show(means=True)
        load_best(self.scratch, self.model, self.progress)
        return self.progress

    def time_steps(self, count: int) -> list[float]:
        """Seconds of each of the first `count` steps, including rewiring; used by benchmarks.

        It neither validates nor writes checkpoints. The last batch of an epoch may be smaller. Steps that a
        meter measures are slower, and so are those that measure gradients.
        """
        log, times = MetricsLog(self.scratch / "log"), []
        groups = itertools.chain.from_iterable(self.feed.groups(epoch) for epoch in itertools.count())
        self.model.train()
        for group in itertools.islice(groups, count):
            begin = time.perf_counter()
            self.step(group)
            self._rewire(log)
            if self.device.type == "cuda":  # kernels run asynchronously: wait for them
                torch.cuda.synchronize(self.device)
            times.append(time.perf_counter() - begin)
        log.close()
        return times

    def step(self, group: list[Int64s]) -> float:
        """One optimizer step over the batches of `group` (rows of the shards); returns the main loss.

        First it sets the learning rates, and drops the auxiliary branch if its weight has reached 0.
        """
        state, config = self.progress, self.config
        if state.auxiliary and self.auxiliary_weight == 0.0:
            self._drop_auxiliary()
        self.updates.begin(state.step, rate_factor(state.step, config.warmup_steps, self.total_steps))
        if self.growth is not None:
            self.growth.begin(state.step + 1)
        measured = is_measured(state.step + 1, config.gradients_every)
        with self.meter.watch(self, group) if self.meter else nullcontext():
            loss = self.gradient_step.run(group, self.auxiliary_weight, measured)
        state.step += 1
        self.average.update(state.step)
        self.divergence.see(state.step, loss, self.gradient_step.updated, group)
        return loss

    def _resume(self) -> bytes:
        """Continue from the newest whole checkpoint, if there is one; returns the log up to it."""
        path = newest_whole(self.scratch, self.growth)
        if path is None:
            return b""
        self.progress = checkpoint.read_progress(path)
        # Before `restore`, which expects the parts that the checkpoint has.
        if not self.progress.auxiliary:
            self._drop_auxiliary()
        checkpoint.restore(path, self.model, self._state(), self.device)
        hint = f"delete {self.scratch}, and run the stage again"
        require_sound_indices(self.model, path / checkpoint.TENSORS, hint)
        return (path / checkpoint.LOG).read_bytes()

    def _epoch(self, log: MetricsLog, bar: Bar) -> None:
        state = self.progress
        groups = self.feed.groups(state.epoch)
        for group in groups[state.position :]:
            if state.step >= self.total_steps:
                break
            self._stop_if_asked()
            loss = self.step(group)
            state.documents += sum(len(rows) for rows in group)
            state.position += 1
            self._after_step(loss, log, bar)
        last = state.step >= self.total_steps
        if len(self.feed.validation_rows) and (last or (state.epoch + 1) % self.config.evaluate_every == 0):
            self._evaluate(log)
        # The counters advance before the checkpoint, so that a resumed run begins with the next epoch.
        state.epoch, state.position = state.epoch + 1, 0
        state.finished = last or 0 < self.config.patience <= state.since_best
        if state.finished or self._pace.due(epoch_ended=True):
            self._checkpoint()

    def _stop_if_asked(self) -> None:
        """End the training with a checkpoint if a signal has asked for it."""
        if (number := requested()) is not None:
            self.average.show(means=False)  # a checkpoint within an evaluation has the weights, too
            step = f"step {self.progress.step:,} of {self.total_steps:,}"
            kept = "has a" if self._checkpoint() else "is diverging, and has no"
            raise Interrupted(number, f"the training {kept} checkpoint at {step}")

    def _drop_auxiliary(self) -> None:
        self.updates.drop_auxiliary()
        self.model.auxiliary, self.progress.auxiliary = None, False

    def _after_step(self, loss: float, log: MetricsLog, bar: Bar) -> None:
        state = self.progress
        state.add_loss(loss)
        if self.norms:
            log.write("gradient", state.step, **self.norms)
        self._rewire(log)
        bar.update(1)
        if (state.step % self.config.log_every == 0 or state.step == self.total_steps) and state.loss_count:
            self._log_line(log)
        within_epoch = state.position < self.feed.steps_per_epoch and state.step < self.total_steps
        # At the end of an epoch, `_epoch` writes one after the evaluation.
        if within_epoch and self._pace.due(epoch_ended=False):
            self._checkpoint()

    def _log_line(self, log: MetricsLog) -> None:
        """Log the mean loss since the previous line, speed and memory, and restart the mean."""
        state = self.progress
        self._last_mean = state.loss_sum / state.loss_count
        state.loss_sum, state.loss_count = 0.0, 0
        log.write(
            "train",
            state.step,
            epoch=state.step / self.feed.steps_per_epoch,
            loss=self._last_mean,
            auxiliary_weight=self.auxiliary_weight,
            rate_factor=rate_factor(state.step - 1, self.config.warmup_steps, self.total_steps),
            documents_per_second=state.documents / self._pace.seconds,
            memory_bytes=used_bytes(self.device),
        )

    def _figures(self) -> Figures:
        state, best_by = self.progress, self.config.best_by
        loss = state.loss_sum / state.loss_count if state.loss_count else self._last_mean
        value = value_of(state.evaluations[-1], best_by) if state.evaluations else None
        speed = state.documents / self._pace.seconds
        return shown_figures(loss, best_by, value, speed, used_bytes(self.device))

    def _rewire(self, log: MetricsLog) -> None:
        head, state = self.model.head, self.progress
        if not head.rewires:
            return
        cut = next_cut(self.config.rewire, head.weight, state.step, self.total_steps, head.shape.group)
        if cut is None:
            return
        state.rewirings += 1
        moments = self.updates.moments()
        words = {}
        if self.growth is None:
            replaced = rewire(head, moments, cut, self.config.seed, state.rewirings)
        else:
            replaced = self.growth.rewire(moments, cut, state.rewirings)
            words = {"words": self.growth.rewire_words()} if head.word_layer is not None else {}
        self.average.rewired()
        log.write("rewire", state.step, replaced=replaced, share=replaced / head.weight.numel(), **words)

    def _evaluate(self, log: MetricsLog) -> None:
        """Evaluate at the end of an epoch. A signal ends it before the next batch, unchanged so far."""
        state = self.progress
        batches = self.feed.validation_batches()
        weight_L = inverse_propensities(self.feed.label_counts, self.feed.num_documents)
        self.average.show(means=True)
        try:
            figures = validate(self.model, batches, self._features, weight_L, self.config.label_chunk)
            state.evaluations.append({"step": state.step, "epoch": state.epoch + 1, **figures})
            log.write("validation", state.step, **figures)
            save_if_best(self.scratch, self.model, state, value_of(figures, self.config.best_by))
        finally:
            self.average.show(means=False)

    def _features(self, batch: Batch) -> Tensor:
        """Features for an evaluation, float32 [B, D]: in 16 bits, close scores would become equal."""
        self._stop_if_asked()
        return self.model.features(self.gradient_step.embed(batch))

    def _checkpoint(self) -> bool:
        """Write a checkpoint; False if the training is diverging, and none was written."""
        state = self._state()
        if not self.divergence.allows_checkpoint(self.progress, state):
            return False
        self.progress.seconds, log = self._pace.seconds, self.scratch / "log" / checkpoint.LOG
        with self._pace.writing():
            if self.growth is not None:
                self.growth.flush()
            new = checkpoint.write(self.scratch, self.progress, self.model, state, self.device, log)
            if self.growth is not None and new:
                self.growth.checkpointed()
        return True

    def _state(self) -> State:
        return Together(self.updates, self.average, *([] if self.growth is None else [self.growth]))

    _pace: Pace
    _last_mean: float = 0.0  # the loss in the last line of the log
