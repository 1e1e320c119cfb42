"""Scores that favour rare labels: ln(1 / propensity) is added, times a weight.

A hit counts 1 / propensity in PSP, so documents are ranked best for it by probability / propensity (Jain,
Prabhu and Varma 2016). A model trained with the binary cross entropy scores a label by its log odds, which
for small probabilities is the logarithm of the probability: then a weight of 1 ranks for PSP, 0 for
precision, and a value between for some of both.

L labels.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from xmcpipe.data.vocabulary_file import read_label_documents
from xmcpipe.errors import XmcpipeError
from xmcpipe.metrics.propensity import inverse_propensity
from xmcpipe.modeling.heads import Head
from xmcpipe.modeling.model import Model


def favour_rare_labels(model: Model, folder: Path, facts: Mapping[str, Any], weight: float) -> Tensor:
    """Add `weight` * ln(1 / propensity) to all scores of `model`, loaded from `folder` with `facts`.

    Returns what was added, float32 [L].

    The propensities are those of the documents that the model was trained on, with A 0.55 and B 1.5. Raises
    XmcpipeError for a model that doesn't say how many documents had each label.
    """
    counts_L = training_documents(folder, facts, "predict.propensity_weight")
    added_L = torch.from_numpy(weight * np.log(inverse_propensity(counts_L, facts["documents"]))).float()
    head, frequent = model.head, model.frequent
    _add(head, head.at_places(added_L))
    if frequent is not None:
        _add(frequent.head, added_L[frequent.labels.cpu()])
    return added_L


def training_documents(folder: Path, facts: Mapping[str, Any], what: str) -> npt.NDArray[np.int64]:
    """The number of documents of each label that the model in `folder` was trained on, int64 [L].

    Raises XmcpipeError, which names `what` needs them, for a model that doesn't say, and for numbers that
    can't be.
    """
    counts_L = read_label_documents(folder) if "documents" in facts else None
    if counts_L is None:
        raise XmcpipeError(
            f"{what} needs to know how frequent labels are, but the model in {folder} has no numbers of "
            "documents",
            "train it again",
        )
    return counts_L


def _add(head: Head, added_n: Tensor) -> None:
    added_n = added_n.to(head.weight.device)
    head.bias = nn.Parameter(added_n if head.bias is None else head.bias.detach() + added_n)
