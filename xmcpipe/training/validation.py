"""Computes P@1, P@3, P@5 on the validation split, to choose the best model; the test split is not read.

B rows, D features that the head reads, K number of labels to find.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from xmcpipe.modeling.model import Model
from xmcpipe.modeling.topk import top_labels
from xmcpipe.training.feed import Batch

CUTS = (1, 3, 5)


@torch.no_grad()
def validate(
    model: Model,
    batches: Iterable[Batch],
    features: Callable[[Batch], Tensor],
    num_labels: int,
    label_chunk: int,
) -> dict[str, float]:
    """{"P@1": …, "P@3": …, "P@5": …}, each from 0 to 1, over all documents of `batches`.

    `features` returns float32 [B, D] for a batch. `num_labels` is L, which may be more than the labels of the
    head.
    """
    model.eval()
    hits, documents = torch.zeros(max(CUTS), dtype=torch.float64), 0
    for batch in batches:
        labels_BK, _ = top_labels(model.head, features(batch), max(CUTS), label_chunk, batch.words)
        # Each (row, label) pair becomes one number, row x L + label, so that one `isin` finds all hits.
        rows = torch.arange(len(batch), device=labels_BK.device).unsqueeze(1)
        truth = batch.positives.rows * num_labels + batch.positives.labels
        hit_BK = torch.isin(rows * num_labels + labels_BK, truth)
        hits[: hit_BK.shape[1]] += hit_BK.sum(0).double().cpu()
        documents += len(batch)
    model.train()
    hits_up_to = hits.cumsum(0)
    return {f"P@{k}": float(hits_up_to[k - 1]) / (k * documents) for k in CUTS}
