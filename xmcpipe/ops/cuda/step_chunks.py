"""The fused classifier step on kernels/, chunk by chunk of labels: for any shape and format.

Three kernels a chunk (scores and loss, dX, dW and update), the chunk so small that weights, indices and
gradients stay in L2 between them, so that device memory is touched about once.

B rows, D features, L labels, K fan-in, P positives.
"""

import torch
from torch import Tensor

from xmcpipe.ops.cuda.ffi import FeatureGradient
from xmcpipe.ops.cuda.rows import FORMATS, LANE_ROWS, gathering, momentum_kind, persistent, transposed
from xmcpipe.ops.nvrtc.launch import launch
from xmcpipe.ops.nvrtc.table import LOSSES
from xmcpipe.ops.step_torch import Update

INDEX_BYTES = 2
CACHE_SHARE = 0.5  # of L2, for a chunk: the rest is for features and partial results
CHUNK_STEP = 1024  # labels


def step_(
    features_BD: Tensor,
    weight_LK: Tensor,
    index_LK: Tensor,
    bias_L: Tensor | None,
    momentum_LK: Tensor | None,
    positives: tuple[Tensor, Tensor],
    loss: str,
    update: Update,
) -> tuple[Tensor, Tensor]:
    """As `step_cuda.step_`."""
    features_DB, num_labels = transposed(features_BD), len(weight_LK)
    chunk = min(update.label_chunk, cached_labels(weight_LK, features_DB), num_labels)
    chunks = _Chunks(
        features_DB, weight_LK, index_LK, bias_L, momentum_LK, positives, LOSSES[loss], update, chunk
    )
    gradient = FeatureGradient(weight_LK, index_LK, len(features_BD), features_BD.shape[1], chunk)
    for number, begin in enumerate(range(0, num_labels, chunk)):
        end = min(begin + chunk, num_labels)
        chunks.score(number, begin, end, len(features_BD))
        gradient.add(chunks.gradient_LB, begin, end)
        chunks.update(begin, end)
    grad_features = torch.empty(features_BD.shape, dtype=torch.float32, device=features_BD.device)
    gradient.total(grad_features)
    return chunks.losses.sum(), grad_features


def cached_labels(weight_LK: Tensor, features_DB: Tensor) -> int:
    """How many labels' weights, indices and gradients stay in L2."""
    per_label = weight_LK.shape[1] * (weight_LK.element_size() + INDEX_BYTES) + 4 * features_DB.shape[1]
    cache = torch.cuda.get_device_properties(features_DB.device).L2_cache_size
    return max(1, int(CACHE_SHARE * cache / per_label) // CHUNK_STEP) * CHUNK_STEP


class _Chunks:
    """Scores with loss, and dW with update, of one chunk of labels after another."""

    def __init__(
        self,
        features_DB: Tensor,
        weight_LK: Tensor,
        index_LK: Tensor,
        bias_L: Tensor | None,
        momentum_LK: Tensor | None,
        positives: tuple[Tensor, Tensor],
        loss: int,
        update: Update,
        chunk: int,
    ) -> None:
        self._x, self._weight, self._index, self._bias = features_DB, weight_LK, index_LK, bias_L
        self._momentum, self._positives, self._update = momentum_LK, positives, update
        device, weight_format = features_DB.device, FORMATS[weight_LK.dtype]
        variant, shared, group = gathering("ffi_scores", features_DB, WEIGHT=weight_format, LOSS=loss)
        row_blocks = -(-features_DB.shape[1] // (LANE_ROWS * group))
        blocks = persistent(variant, device, shared, -(-chunk * group // variant.threads), row_blocks)
        self._scores, self._scores_shared, self._scores_grid = variant, shared, (blocks, row_blocks)
        self.gradient_LB = features_DB.new_empty(chunk, features_DB.shape[1], dtype=torch.float32)
        num_chunks = -(-len(weight_LK) // chunk)
        self.losses = features_DB.new_empty(num_chunks, blocks * row_blocks, dtype=torch.float32)
        kind = momentum_kind(weight_LK, momentum_LK)
        variant, shared, group = gathering(
            "ffi_grad_weight", features_DB, WEIGHT=weight_format, UPDATE=1, MOMENTUM=kind
        )
        blocks = persistent(variant, device, shared, -(-chunk * group // variant.threads))
        self._updates, self._updates_shared, self._updates_grid = variant, shared, (blocks,)
        # A batch of several blocks of rows adds its gradient up before the update.
        several = features_DB.shape[1] > LANE_ROWS * group
        self._sums = (
            features_DB.new_empty(chunk, weight_LK.shape[1], dtype=torch.float32) if several else None
        )

    def score(self, number: int, begin: int, end: int, batch: int) -> None:
        """gradient_LB, and the losses of chunk `number`."""
        (num_features, stride), variant = self._x.shape, self._scores
        launch(
            variant, self._x.device, self._scores_grid, variant.threads, self._scores_shared,
            self._x, self._weight, self._index, self._bias, self.gradient_LB, self.losses[number],
            *self._positives, len(self._positives[0]), begin, end, batch, stride, num_features,
            self._weight.shape[1],
        )  # fmt: skip

    def update(self, begin: int, end: int) -> None:
        """The step of the chunk's weights, momentum and bias."""
        (num_features, stride), variant, by = self._x.shape, self._updates, self._update
        launch(
            variant, self._x.device, self._updates_grid, variant.threads, self._updates_shared,
            self.gradient_LB, self._x, self._index, self._sums, self._weight, self._momentum, self._bias,
            by.scale, by.rate, by.step, by.weight_decay, by.momentum_factor, by.seed, by.first_label,
            begin, end, stride, num_features, self._weight.shape[1],
        )  # fmt: skip
