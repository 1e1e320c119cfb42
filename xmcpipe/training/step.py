"""One optimizer step: forward, the two losses, backward, update.

A batch passes through these tensors: input_ids_BS -> embedding_BE (encoder, pooling, dropout) -> features_BD
(the embedding, or the intermediate layer) -> main loss over all L labels, and in parallel embedding_BE ->
auxiliary loss over C clusters. With a frozen encoder a batch starts as embedding_BE.

B rows, S tokens, E width of the embedding, D features that the head reads, P positive pairs.
"""

import torch
from torch import Tensor

from xmcpipe.data.shards.files import Int64s
from xmcpipe.modeling.losses import scale
from xmcpipe.modeling.model import Model
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.feed import Batch, EmbeddedBatch, Feed, positives_of_heads
from xmcpipe.training.gradients import SplitEmbedding
from xmcpipe.training.growth.state import Growth
from xmcpipe.training.updates.protocol import Updates


class GradientStep:
    """Runs optimizer steps of `model` on batches of `feed`.

    `clusters_L`, int64 or int32 [L], is required if the model has an auxiliary branch. `head_dtype` is the
    dtype of the features that the head reads. `growth` sees every batch, if there is one.
    """

    def __init__(
        self,
        config: TrainConfig,
        model: Model,
        feed: Feed,
        clusters_L: Tensor | None,
        updates: Updates,
        head_dtype: torch.dtype,
        device_type: str,
        growth: Growth | None = None,
    ) -> None:
        self.config, self.model, self.feed, self.updates = config, model, feed, updates
        self.clusters_L, self.head_dtype, self.device_type = clusters_L, head_dtype, device_type
        self.growth = growth
        self.norms: dict[str, float | None] = {}  # see `SplitEmbedding.norms`; {} if not measured
        self.updated = True  # whether the gradient of the last step was finite

    def run(self, group: list[Int64s], auxiliary_weight: float, measured: bool) -> float:
        """One optimizer step over the batches of `group`; returns the main loss.

        `auxiliary_weight` is s in (1 - s) * main + s * auxiliary. If `measured`, `norms` are computed from
        the first batch, scaled by the number of batches. Reading the loss waits for the device.
        """
        num_rows, losses = sum(len(rows) for rows in group), []
        self.norms = {}
        for number, rows in enumerate(group):
            batch = self.feed.batch(rows)
            embedding_BE = self.embed(batch)
            if self.growth is not None:
                self.growth.see_embedding(rows, embedding_BE)
            split = SplitEmbedding(self.model.dropout(embedding_BE))
            main, auxiliary, weight = self.losses(split, batch, num_rows, auxiliary_weight)
            # This backward ends at the leaves of `split`; `split.backward` goes on through the encoder.
            self.updates.backward((1.0 - weight) * main + weight * auxiliary)
            if measured and number == 0:
                self._measure(split, num_rows / len(rows))
            split.backward()
            losses.append(main.detach())
        self.updated = self.updates.step()
        return sum(map(float, losses))  # last: until here no loss was waited for

    def embed(self, batch: Batch) -> Tensor:
        """The pooled embedding, float32 [B, E], before dropout."""
        if isinstance(batch, EmbeddedBatch):
            return batch.embedding_BE
        dtype = self.updates.autocast
        with torch.autocast(self.device_type, dtype, enabled=dtype is not None):
            return self.model.embed(batch.input_ids_BS, batch.mask_BS)

    def losses(
        self, split: SplitEmbedding, batch: Batch, num_rows: int, auxiliary_weight: float
    ) -> tuple[Tensor, Tensor | float, float]:
        """(main loss, auxiliary loss, weight of the auxiliary loss) of a batch in a group of `num_rows` rows.

        The losses are contributions to those of the group. The weight is 0 without an auxiliary branch.
        """
        config, model = self.config, self.model
        weight = auxiliary_weight if model.auxiliary is not None else 0.0
        features_BD = model.features(split.main_BE).to(self.head_dtype)
        if self.growth is not None:
            self.growth.see_features(features_BD, positives_of_heads(batch)[0])
        factor = scale(config.loss, config.bce_reduction, num_rows, self.feed.num_labels)
        main = self.updates.main_loss(features_BD, batch, factor, 1.0 - weight)
        if model.auxiliary is None or self.clusters_L is None or weight == 0.0:
            return main, 0.0, 0.0
        clusters_P = self.clusters_L[batch.positives.labels].long()
        auxiliary = model.auxiliary.loss(split.auxiliary_BE, batch.positives.rows, clusters_P)
        return main, auxiliary * (len(batch) / num_rows), weight

    def _measure(self, split: SplitEmbedding, batches: float) -> None:
        """Set `norms`: those of the gradients of (1 - s) * main and s * auxiliary over the whole encoder.

        They exclude the loss scale and clipping. `batches` is the size of the group, in batches of this size.
        """
        trained = [parameter for parameter in self.model.encoder.parameters() if parameter.requires_grad]
        if trained:
            self.norms = split.norms(trained, self.updates.loss_scale / batches)
