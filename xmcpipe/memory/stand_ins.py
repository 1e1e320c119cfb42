"""Replacements for parts of a training in a rehearsal: batches without documents, and optimizer kernels.

Everything else in a rehearsal is the real code.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import torch

from xmcpipe.data.shards.files import Int64s
from xmcpipe.memory.live_bytes import LiveBytes
from xmcpipe.memory.parts import BATCH
from xmcpipe.memory.shape import BatchShape
from xmcpipe.ops.layer import Positives
from xmcpipe.ops.word_layer import MAX_WORDS, BatchWords
from xmcpipe.training.feed import Batch, EmbeddedBatch, Feed, TokenBatch

META = torch.device("meta")


class PlannedFeed(Feed):
    """Batches of a stated shape on "meta", without documents; `meter` counts them as BATCH.

    They are of tokens, or, if it is not 0, of embeddings of the width `embedding`. `frequent`: whether the
    most frequent labels have a head of their own.
    """

    def __init__(
        self, shape: BatchShape, meter: LiveBytes, embedding: int = 0, frequent: bool = False
    ) -> None:
        self.num_labels, self.shape, self._embedding = shape.labels, shape, embedding
        self._two_heads = frequent
        self.train_rows = np.arange(shape.rows)
        self.validation_rows = self.train_rows[:0]
        self.label_counts = torch.empty(shape.labels, dtype=torch.float64, device=META)
        self._meter = meter

    @property
    def steps_per_epoch(self) -> int:
        """A number so large that no schedule reaches its end."""
        return 1 << 30

    def batch(self, rows: Int64s) -> Batch:
        """A batch of the stated shape, the same for any rows."""
        self._meter.begin(BATCH)
        batch = self._batch(self.shape)
        self._meter.end()
        return batch

    def _batch(self, shape: BatchShape) -> Batch:
        pairs = [torch.empty(shape.positives, dtype=torch.int64, device=META) for _ in range(2)]
        positives, words = Positives.of(*pairs), None
        # Each head gets all pairs: which labels they have is not known.
        split = (positives, positives) if self._two_heads else None
        if shape.words:
            place = torch.empty(MAX_WORDS + 1, dtype=torch.int32, device=META)
            words = BatchWords(place, torch.empty(shape.words, shape.rows, device=META))
        if self._embedding:
            embedding = torch.empty(shape.rows, self._embedding, device=META)
            return EmbeddedBatch(embedding, positives, words, split)
        size = (shape.rows, shape.tokens)
        ids, mask = (torch.empty(size, dtype=torch.int64, device=META) for _ in range(2))
        return TokenBatch(ids, mask, positives, words, split)


def outer_chunks(num_labels: int, size: int) -> Iterator[tuple[int, int]]:
    """[begin, end) of the first two chunks and the last one of a head.

    The chunks in between allocate the same, and there may be thousands of them.
    """
    begins = range(0, num_labels, size)
    for begin in dict.fromkeys([*begins[:2], begins[-1]]):
        yield begin, min(begin + size, num_labels)


@contextmanager
def optimizer_kernels_on_meta(device: str) -> Iterator[None]:
    """Let torch's fused Adam and optimi's Triton kernel run on meta tensors.

    Neither has an implementation for "meta". Both update in place and allocate nothing, so skipping them
    changes no count. There is no hook for that, so their functions are replaced while this context is
    entered.
    """
    replaced = [(import_module("torch.optim.adam"), "_device_dtype_check_for_fused", lambda *_, **__: None)]
    # The Triton kernel; on a CPU optimi uses torch's operators, and so does the AdamW in its place.
    if device == "cuda" and find_spec("optimi"):
        replaced.append((import_module("optimi.adam"), "_single_param_adam", lambda *_, **__: None))
    originals = [getattr(module, name) for module, name, _ in replaced]
    for module, name, function in replaced:
        setattr(module, name, function)
    try:
        yield
    finally:
        for (module, name, _), function in zip(replaced, originals, strict=True):
            setattr(module, name, function)
