"""Chooses how scores become probabilities: by the likelihood of documents that a function was not fitted on.

The held-out documents are divided into folds. A function is fitted on all folds but one and measured on that
one, for each fold in turn, so that one with many numbers gains nothing by learning the documents by heart.
The function that has the smallest negative log-likelihood is then fitted on all held-out documents.

N documents, C candidate labels of each, best first (-1 for none), L labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from xmcpipe.calibration.fitting import Method, fit, negative_log_likelihood
from xmcpipe.calibration.maps import Float64s, FrequencyMaps, Ints, Sigmoid, places_of
from xmcpipe.calibration.regression import fit_by_frequency

FOLDS = 5


@dataclass(frozen=True)
class Candidates:
    """The best labels of held-out documents: labels int32, scores float32 and hits bool, [N, C] each."""

    labels: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]
    hits: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, chosen_N: npt.NDArray[np.bool_]) -> "Candidates":
        """Those of some documents."""
        return Candidates(self.labels[chosen_N], self.scores[chosen_N], self.hits[chosen_N])

    def without(self, left_out_L: npt.NDArray[np.bool_]) -> "Candidates":
        """The same documents without some labels; those behind them move up."""
        gone_NC = (self.labels < 0) | left_out_L[self.labels]
        order_NC = np.argsort(gone_NC, axis=1, kind="stable")
        labels_NC = np.where(gone_NC, np.int32(-1), self.labels)
        parts = (labels_NC, self.scores, self.hits & ~gone_NC)
        return Candidates(*(np.take_along_axis(part, order_NC, axis=1) for part in parts))


def too_rare(documents_L: Ints, held_out_L: Ints) -> npt.NDArray[np.bool_]:
    """The labels whose held-out documents say nothing about their probability, bool [L].

    `documents_L` and `held_out_L` are the numbers of documents that the model was and wasn't trained on. If
    every label of a dataset has m documents or more, then one with fewer than m training documents is there
    only because a held-out document has it: it would seem to be right far too often.
    """
    total_L = documents_L + held_out_L
    least = total_L[total_L > 0].min(initial=np.iinfo(np.int64).max)
    found: npt.NDArray[np.bool_] = documents_L < least
    return found


@dataclass(frozen=True)
class Way:
    """A kind of function, fitted apart to labels of each range of training documents (see `FrequencyMaps`).

    The method "none" is the logistic function of the score, which isn't fitted. "frequency" ties the
    functions of all ranges together (see `fit_by_frequency`).
    """

    method: Method | Literal["none", "frequency"]
    least: tuple[int, ...] = (0,)

    def fitted(self, candidates: Candidates, documents_L: Ints) -> FrequencyMaps:
        """Fitted to these documents; `documents_L` are the numbers of training documents of the labels."""
        if self.method == "none":
            return FrequencyMaps((0,), (Sigmoid(),))
        present_NC = candidates.labels >= 0
        if self.method == "frequency":
            scores_P, hits_P = candidates.scores[present_NC], candidates.hits[present_NC]
            labels_P = candidates.labels[present_NC]
            tied = fit_by_frequency(scores_P, hits_P, labels_P, documents_L, self.least)
            return FrequencyMaps(self.least, tied)
        place_NC = places_of(self.least, documents_L)[candidates.labels]
        parts = [present_NC & (place_NC == number) for number in range(len(self.least))]
        maps = [fit(self.method, candidates.scores[part], candidates.hits[part]) for part in parts]
        return FrequencyMaps(self.least, tuple(maps))


@dataclass(frozen=True)
class Trial:
    """A way, and how it does on documents that it was not fitted to.

    `probabilities` float64 [N, C], NaN where there is no label; `loss`: the mean negative log-likelihood of a
    candidate, in nats.
    """

    way: Way
    probabilities: Float64s
    loss: float

    def table(self) -> dict[str, Any]:
        """The way and its loss, in JSON types."""
        return {"method": self.way.method, "ranges": len(self.way.least), "loss": self.loss}


def probabilities_of(maps: FrequencyMaps, candidates: Candidates, documents_L: Ints) -> Float64s:
    """The probabilities of the candidates, float64 [N, C]; NaN where there is no label."""
    places_NC = maps.places(documents_L)[candidates.labels]
    return np.where(candidates.labels >= 0, maps(places_NC, candidates.scores), np.nan)


def tried(way: Way, candidates: Candidates, documents_L: Ints, seed: int) -> Trial:
    """`way` measured on each fold of the documents, fitted to the others. Needs two documents."""
    folds = min(FOLDS, len(candidates))
    fold_N = np.random.default_rng(seed).permutation(len(candidates)) % folds
    found_NC = np.empty(candidates.labels.shape)
    for fold in range(folds):
        maps = way.fitted(candidates.rows(fold_N != fold), documents_L)
        found_NC[fold_N == fold] = probabilities_of(maps, candidates.rows(fold_N == fold), documents_L)
    present_NC = candidates.labels >= 0
    loss = negative_log_likelihood(found_NC[present_NC], candidates.hits[present_NC])
    return Trial(way, found_NC, loss / max(int(present_NC.sum()), 1))


def best_of(trials: Sequence[Trial]) -> Trial:
    """The trial with the smallest loss; of equal ones the first."""
    return min(trials, key=lambda trial: trial.loss)
