"""Which labels of a text are predicted: how many, which may be, and from which probability on."""

from collections.abc import Collection
from dataclasses import dataclass

import pyarrow as pa

from xmcpipe.inference.choice import Choice, choose
from xmcpipe.inference.probability import Cut, Floats, Labels, Probabilities, Threshold, cut_at


@dataclass(frozen=True)
class Selection:
    """The `k` best of the labels that `choice` allows (None: all), without those that `cut` leaves out."""

    k: int
    choice: Choice | None = None
    cut: Cut | None = None

    def most(self, num_labels: int) -> int:
        """The largest number of labels of a text, for a model of this number of labels."""
        return min(self.k, num_labels if self.choice is None else self.choice.count)

    def decide(
        self, labels_NC: Labels, scores_NC: Floats, probabilities: Probabilities | None, k: int
    ) -> tuple[Labels, Floats, Floats | None]:
        """The `k` best of C candidates, best first by score, with scores and probabilities, [N, K] each.

        A place that `cut` leaves out has the label -1. Without `probabilities` the last is None.
        """
        if probabilities is None:
            return labels_NC[:, :k], scores_NC[:, :k], None
        labels_NK, scores_NK, found_NK = probabilities.ranked(labels_NC, scores_NC, k)
        return labels_NK if self.cut is None else self.cut.apply(labels_NK, found_NK), scores_NK, found_NK


@dataclass(frozen=True)
class Wanted:
    """A selection as users give it: names of labels, and a probability or "f1" or "macro-f1"."""

    k: int
    threshold: Threshold | None = None
    allow: Collection[str] | None = None
    deny: Collection[str] | None = None

    def selection(self, labels: pa.Table, found: Probabilities | None, model: object) -> Selection:
        """The selection for a model with this vocabulary and these probabilities; errors name `model`.

        Raises XmcpipeError for an unknown label, and for a threshold that the model can't have.
        """
        cut = None if self.threshold is None else cut_at(self.threshold, found, model)
        return Selection(self.k, choose(labels, self.allow, self.deny), cut)
