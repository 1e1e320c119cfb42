"""The probability that a score stands for, where it stands for one. N rows, K labels of each, L labels.

The binary cross entropy is smallest if the logistic function of a label's score is the probability that a
document has the label. No other loss has such a relation: a squared hinge, for instance, only asks scores to
be above 1 or below -1. What a model has learned of its training documents is still too sure of itself, or not
sure enough, on others. The stage `calibrate` measures this on held-out documents: with its calibration, the
scores of every loss have a probability.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xmcpipe.calibration.saved import Calibration
from xmcpipe.errors import XmcpipeError

LOSS = "bce"
logger = logging.getLogger(__name__)
Labels = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
Threshold = float | str
Order = Literal["score", "probability", "auto"]


@dataclass(frozen=True)
class Cut:
    """The smallest probability of a predicted label: `least` is one number, or that of each label, [L]."""

    least: float | Floats

    def apply(self, labels_NK: Labels, probabilities_NK: Floats) -> Labels:
        """The labels with -1 in place of those that are less probable."""
        least = self.least if isinstance(self.least, float) else self.least[labels_NK]
        return np.where(probabilities_NK >= least, labels_NK, np.int32(-1))


@dataclass(frozen=True)
class Probabilities:
    """The probabilities of a model's scores.

    They are those of its `calibration` or, without one, the logistic function. `added_L`, float32 [L], is
    what predict.propensity_weight has added to scores; None if nothing. It is taken off before, because it
    changes the order of labels and not how probable they are. With `order` "probability", which needs a
    calibration, labels are ordered by their log odds plus what was added; with "auto" they are if the
    calibration says that this is better.
    """

    calibration: Calibration | None = None
    added_L: Tensor | None = None
    order: Order = "score"

    @property
    def reorders(self) -> bool:
        """Whether labels are ordered by probability."""
        if self.calibration is None:
            return False
        order = self.calibration.better_order if self.order == "auto" else self.order
        return order == "probability"

    def count(self, k: int) -> int:
        """The number of labels that have to be found by their score before `ranked` can keep k."""
        if self.calibration is None or not self.reorders:
            return k
        return max(2 * k, self.calibration.candidates)

    def ranked(self, labels_NC: Labels, scores_NC: Floats, k: int) -> tuple[Labels, Floats, Floats]:
        """The k best labels, with scores and probabilities, [N, k] each, of candidates best first by score.

        If labels are ordered by probability, scores become log odds plus what was added. Labels that are
        equal in it keep the order of their scores. A label -1, for none, stays behind all others.
        """
        found_NC = self.of(labels_NC, scores_NC)
        if self.calibration is not None and self.reorders:
            added_NC = 0 if self.added_L is None else self.added_L.numpy()[labels_NC]
            scores_NC = self.calibration.log_odds(labels_NC, scores_NC - added_NC) + added_NC
            order_NC = np.argsort(np.where(labels_NC >= 0, -scores_NC, np.inf), axis=1, kind="stable")
            labels_NC = np.take_along_axis(labels_NC, order_NC, 1)
            scores_NC = np.take_along_axis(scores_NC, order_NC, 1)
            found_NC = np.take_along_axis(found_NC, order_NC, 1)
        return labels_NC[:, :k], scores_NC[:, :k], found_NC[:, :k]

    def of(self, labels: Labels, scores: Floats) -> Floats:
        """The probabilities of `labels`, float32, of the same shape as they and their `scores`."""
        if self.added_L is not None:
            scores = scores - self.added_L.numpy()[labels]
        if self.calibration is not None:
            return self.calibration.probabilities(labels, scores)
        found: Floats = torch.sigmoid(torch.from_numpy(scores)).numpy()
        return found


def probabilities(
    facts: Mapping[str, Any],
    added_L: Tensor | None,
    calibration: Calibration | None,
    order: Order = "score",
    model: object = "the model",
) -> Probabilities | None:
    """Those of a model with these `facts` (model.json).

    None without a calibration if its loss has none. Raises XmcpipeError, which names `model`, for the order
    "probability" without a calibration.
    """
    if calibration is None and order == "probability":
        raise XmcpipeError(
            f"expected a calibration of {model} for predict.order = 'probability', got none",
            "run `xmcpipe calibrate` or add [calibrate] to the recipe, or set predict.order = 'score'",
        )
    if calibration is not None and order == "auto" and "order" not in calibration.facts:
        logger.warning(
            "warning: the calibration of %s is older than predict.order and doesn't say which order is "
            "better: labels are ordered by score; run `xmcpipe calibrate --force`",
            model,
        )
    if calibration is None and not is_logistic(facts):
        return None
    return Probabilities(calibration, added_L, order)


def is_logistic(facts: Mapping[str, Any]) -> bool:
    """Whether the logistic function of a score is the probability that a model with these `facts` learned."""
    return bool(facts.get("recipe", {}).get("train", {}).get("loss") == LOSS)


def cut_at(threshold: Threshold, found: Probabilities | None, model: object) -> Cut:
    """The cut at a probability from 0 to 1, or at the thresholds that `calibrate` chose: f1 or macro-f1.

    Raises XmcpipeError for anything else, and if `model`, which the error names, has no probabilities or no
    calibration.
    """
    if not isinstance(threshold, str) and not 0 <= float(threshold) <= 1:
        raise XmcpipeError(
            f"expected threshold, a probability, got {threshold!r}", "between 0 and 1, or f1 or macro-f1"
        )
    if found is None:
        raise XmcpipeError(
            f"{model} has no probabilities: it was not trained with the loss bce and has no calibration",
            "run `xmcpipe calibrate`, or omit the threshold and compare scores",
        )
    if not isinstance(threshold, str):
        return Cut(float(threshold))
    if threshold not in ("f1", "macro-f1"):
        raise XmcpipeError(
            f"expected threshold, a probability, f1 or macro-f1, got {threshold!r}", "for example 0.3"
        )
    if found.calibration is None:
        raise XmcpipeError(
            f"expected a calibration of {model}, which has the threshold {threshold}, got none",
            "run `xmcpipe calibrate` and name its artifact as the calibration, or give a number",
        )
    return Cut(found.calibration.f1.value if threshold == "f1" else found.calibration.threshold_L)
