"""Computes P@k and PSP@k on the validation split, to choose the best model; the test split is not read.

B rows, D features that the head reads, K number of labels to find, L labels.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from xmcpipe.metrics.propensity import inverse_propensity
from xmcpipe.modeling.model import Model
from xmcpipe.modeling.topk import top_labels_of
from xmcpipe.ops.layer import Positives
from xmcpipe.training.feed import Batch

CUTS = (1, 3, 5)


def inverse_propensities(label_counts_L: Tensor, num_documents: int) -> Tensor:
    """1 / propensity of each label from the training split, float64 [L], with the constants A 0.55, B 1.5."""
    return torch.from_numpy(inverse_propensity(label_counts_L.cpu().long().numpy(), num_documents))


@torch.no_grad()
def validate(
    model: Model,
    batches: Iterable[Batch],
    features: Callable[[Batch], Tensor],
    inverse_propensity_L: Tensor,
    label_chunk: int,
) -> dict[str, float]:
    """P@1, P@3, P@5, PSP@1, PSP@3 and PSP@5 by name, each from 0 to 1, over all documents of `batches`.

    `features` returns float32 [B, D] for a batch. `inverse_propensity_L`, float64, has all labels, which may
    be more than those of the head. PSP is normalised by the best possible predictions.
    """
    model.eval()
    num_labels, most = len(inverse_propensity_L), max(CUTS)
    hits, gains, best = (torch.zeros(most, dtype=torch.float64) for _ in range(3))
    documents = 0
    for batch in batches:
        labels_BK, _ = top_labels_of(model, features(batch), most, label_chunk, batch.words)
        labels_BK = labels_BK.cpu()
        truth = Positives(*(each.cpu() for each in batch.positives))
        # Each (row, label) pair becomes one number, row x L + label, so that one `isin` finds all hits.
        rows = torch.arange(len(batch)).unsqueeze(1)
        hit_BK = torch.isin(rows * num_labels + labels_BK, truth.rows * num_labels + truth.labels)
        count = hit_BK.shape[1]
        hits[:count] += hit_BK.sum(0)
        gains[:count] += (hit_BK * inverse_propensity_L[labels_BK]).sum(0)
        best += _best_gains(truth, inverse_propensity_L, most)
        documents += len(batch)
    model.train()
    hits, gains, best = (each.cumsum(0) for each in (hits, gains, best))
    precision = {f"P@{k}": float(hits[k - 1]) / (k * documents) for k in CUTS}
    return precision | {f"PSP@{k}": float(gains[k - 1]) / max(float(best[k - 1]), 1e-30) for k in CUTS}


def _best_gains(truth: Positives, inverse_propensity_L: Tensor, most: int) -> Tensor:
    """The largest possible gain at each rank, summed over the rows: float64 [most]."""
    gain_P = inverse_propensity_L[truth.labels]
    order = gain_P.argsort(descending=True)
    order = order[truth.rows[order].argsort(stable=True)]  # by row, in a row by descending gain
    counts = torch.bincount(truth.rows)
    first_P = (counts.cumsum(0) - counts).repeat_interleave(counts)
    rank_P = torch.arange(len(order)) - first_P
    top = rank_P < most
    return torch.zeros(most, dtype=torch.float64).index_add_(0, rank_P[top], gain_P[order][top])


def value_of(figures: dict[str, float], best_by: str) -> float:
    """The figure `best_by`; a name without a rank, P or PSP, is the mean over all ranks."""
    if best_by in figures:
        return figures[best_by]
    return sum(figures[f"{best_by}@{k}"] for k in CUTS) / len(CUTS)
