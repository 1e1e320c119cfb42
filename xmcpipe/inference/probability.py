"""The probability that a score stands for, where it stands for one. N rows, K labels of each, L labels.

The binary cross entropy is smallest if the logistic function of a label's score is the probability that a
document has the label. No other loss has such a relation: a squared hinge, for instance, only asks scores to
be above 1 or below -1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

LOSS = "bce"


@dataclass(frozen=True)
class Logistic:
    """Probabilities from the scores of a model trained with bce.

    `added_L`, float32 [L], is what predict.propensity_weight has added to scores; None if nothing. It is
    taken off before, because it changes the order of labels and not how probable they are.
    """

    added_L: Tensor | None = None

    def probabilities(
        self, labels: npt.NDArray[np.int32], scores: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """The probabilities of `labels`, of the same shape as they and their `scores`."""
        logits = torch.from_numpy(scores)
        if self.added_L is not None:
            logits = logits - self.added_L[torch.from_numpy(labels).long()]
        found: npt.NDArray[np.float32] = torch.sigmoid(logits).numpy()
        return found


def logistic(facts: Mapping[str, Any], added_L: Tensor | None) -> Logistic | None:
    """The probabilities of a model with these `facts` (model.json); None if its loss has none."""
    loss = facts.get("recipe", {}).get("train", {}).get("loss")
    return Logistic(added_L) if loss == LOSS else None
