"""The training loop: one optimizer step, and around it schedule, rewiring, validation, checkpoints and the
log.
"""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from xmcpipe.data.shards import Int64s
from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling import tensors
from xmcpipe.modeling.devices import AUTOCAST
from xmcpipe.modeling.fused import chunked_loss
from xmcpipe.modeling.heads import FFIHead
from xmcpipe.modeling.losses import scale
from xmcpipe.modeling.model import Model
from xmcpipe.progress import Bar, progress
from xmcpipe.training import checkpoint
from xmcpipe.training.checkpoint import Progress
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.feed import Batch, Feed
from xmcpipe.training.log import MetricsLog
from xmcpipe.training.memory import used_bytes
from xmcpipe.training.optimizer import classifier_optimizer, drop_group, encoder_optimizer, moments, set_rate
from xmcpipe.training.rewiring import OneProcess, cut_fraction, cut_threshold, rewire
from xmcpipe.training.schedule import auxiliary_weight, prune_threshold, rate_factor
from xmcpipe.training.validation import validate


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
        self.clusters = None if clusters is None else clusters.to(device)
        self.total_steps = feed.steps_per_epoch * config.epochs
        if config.max_steps:
            self.total_steps = min(self.total_steps, config.max_steps)
        self.optimizers = {
            "encoder": encoder_optimizer(model, config.encoder),
            "classifier": classifier_optimizer(model, config.head, config.auxiliary),
        }
        self.autocast = AUTOCAST[config.precision]
        # Half precision for the head pays on a GPU's tensor cores; a CPU sums scores in float32 throughout.
        self.head_dtype = self.autocast if device.type == "cuda" and self.autocast else torch.float32
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "float16")
        self.progress = Progress(auxiliary=model.auxiliary is not None)

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
            self.model.load_state_dict(tensors.load(best, self.device), strict=False)
        return self.progress

    def _resume(self) -> None:
        place = checkpoint.latest(self.scratch)
        if place is None:
            return
        self.progress = checkpoint.read_progress(place)
        if not self.progress.auxiliary:
            self._drop_auxiliary()
        checkpoint.restore(place, self.model, self.optimizers, self.scaler, self.device)

    def _epoch(self, log: MetricsLog, bar: Bar) -> None:
        state = self.progress
        groups = self.feed.groups(state.epoch)
        for group in groups[state.position :]:
            self._before_step()
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
        for rows in group:
            main, auxiliary, weight = self._losses(self.feed.batch(rows), num_rows)
            torch.autograd.backward(self.scaler.scale((1.0 - weight) * main + weight * auxiliary))
            total += float(main.detach())
        if self.config.encoder.max_grad_norm:
            self.scaler.unscale_(self.optimizers["encoder"])
            torch.nn.utils.clip_grad_norm_(self.model.encoder.parameters(), self.config.encoder.max_grad_norm)
        for optimizer in self.optimizers.values():
            self.scaler.step(optimizer)
            optimizer.zero_grad(set_to_none=True)
        self.scaler.update()
        return total

    def _losses(self, batch: Batch, num_rows: int) -> tuple[Tensor, Tensor | float, float]:
        """Main loss, auxiliary loss, and the weight s of the latter, for a batch of a group of `num_rows`
        rows.
        """
        config, model = self.config, self.model
        embedding_BD = model.dropout(self._embed(batch))
        features_BD = model.features(embedding_BD).to(self.head_dtype)
        factor = scale(config.loss, config.bce_reduction, num_rows, self.feed.num_labels)
        main = chunked_loss(model.head, features_BD, batch.positives, config.loss, factor, config.label_chunk)
        weight = self.auxiliary_weight
        if model.auxiliary is None or self.clusters is None or weight == 0.0:
            return main, 0.0, 0.0
        clusters_P = self.clusters[batch.positives.labels]
        auxiliary = model.auxiliary.loss(embedding_BD, batch.positives.rows, clusters_P)
        return main, auxiliary * (len(batch) / num_rows), weight

    def _embed(self, batch: Batch) -> Tensor:
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
            return self.model.embed(batch.input_ids, batch.mask)

    @property
    def auxiliary_weight(self) -> float:
        """The weight s at the current step."""
        epoch = self.progress.step / self.feed.steps_per_epoch
        return auxiliary_weight(epoch, self.config.auxiliary.weight, self.config.auxiliary.cutoff_epoch)

    def _before_step(self) -> None:
        if self.progress.auxiliary and self.auxiliary_weight == 0.0:
            self._drop_auxiliary()
        factor = rate_factor(self.progress.step, self.config.warmup_steps, self.total_steps)
        for optimizer in self.optimizers.values():
            set_rate(optimizer, factor)

    def _drop_auxiliary(self) -> None:
        drop_group(self.optimizers["classifier"], "auxiliary")
        self.model.auxiliary, self.progress.auxiliary = None, False

    def _after_step(self, loss: float, log: MetricsLog, bar: Bar) -> None:
        state = self.progress
        if not torch.isfinite(torch.tensor(loss)):
            raise XmcpipeError(
                f"the loss is {loss} at step {state.step}",
                "lower train.encoder.lr or train.head.lr, or use bfloat16",
            )
        state.loss_sum, state.loss_count = state.loss_sum + loss, state.loss_count + 1
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
        edited = moments(self.optimizers["classifier"], head.weight)
        replaced = rewire(head, edited, cut, self.config.seed, state.rewirings)
        log.write("rewire", state.step, replaced=replaced, share=replaced / head.weight.numel())

    def _evaluate(self, log: MetricsLog) -> None:
        state = self.progress
        batches, num_labels = self.feed.validation_batches(), self.feed.num_labels
        figures = validate(self.model, batches, self._features, num_labels, self.config.label_chunk)
        state.evaluations.append({"step": state.step, "epoch": state.epoch, **figures})
        log.write("validation", state.step, **figures)
        if state.best_value is None or figures[self.config.best_by] > state.best_value:
            state.best_value, state.best_step, state.since_best = figures[self.config.best_by], state.step, 0
            tensors.save(self.scratch / "best.safetensors", self.model.state_dict())
        else:
            state.since_best += 1

    def _features(self, batch: Batch) -> Tensor:
        return self.model.features(
            self._embed(batch)
        )  # float32: half precision would make ties of near scores

    def _checkpoint(self) -> None:
        self.progress.seconds = self._clock()
        checkpoint.write(self.scratch, self.progress, self.model, self.optimizers, self.scaler, self.device)
        self._checkpointed = time.monotonic()

    _clock: Callable[[], float]
    _checkpointed: float
