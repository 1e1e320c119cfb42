"""Scores that favour rare labels: ln(1 / propensity) is added, times a weight.

A hit counts 1 / propensity in PSP, so documents are ranked best for it by probability / propensity (Jain,
Prabhu and Varma 2016). A model trained with the binary cross entropy scores a label by its log odds, which
for small probabilities is the logarithm of the probability: then a weight of 1 ranks for PSP, 0 for
precision, and a value between for some of both.

L labels.
"""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn

from xmcpipe.errors import XmcpipeError
from xmcpipe.metrics.propensity import inverse_propensity
from xmcpipe.modeling.heads import Head
from xmcpipe.modeling.model import Model


def favour_rare_labels(model: Model, folder: Path, facts: dict[str, object], weight: float) -> Tensor:
    """Add `weight` * ln(1 / propensity) to all scores of `model`, loaded from `folder` with `facts`.

    Returns what was added, float32 [L].

    The propensities are those of the documents that the model was trained on, with A 0.55 and B 1.5. Raises
    XmcpipeError for a model that doesn't say how many documents had each label.
    """
    labels, documents = folder / "labels.parquet", facts.get("documents")
    if "documents" not in pq.read_schema(labels).names or not isinstance(documents, int):
        raise XmcpipeError(
            f"predict.propensity_weight is set, but the model in {folder} has no numbers of documents",
            "train it again",
        )
    counts_L = pq.read_table(labels, columns=["documents"])["documents"].to_numpy().astype(np.int64)
    added_L = torch.from_numpy(weight * np.log(inverse_propensity(counts_L, documents))).float()
    head, frequent = model.head, model.frequent
    _add(head, added_L[head.shape.first_label :][: head.num_labels])
    if frequent is not None:
        _add(frequent.head, added_L[frequent.labels.cpu()])
    return added_L


def _add(head: Head, added_n: Tensor) -> None:
    added_n = added_n.to(head.weight.device)
    head.bias = nn.Parameter(added_n if head.bias is None else head.bias.detach() + added_n)
