"""A slope and a shift of scores that follow the frequency of a label, for any number of frequencies.

A label of two training documents is learned by heart, one of thousands isn't: the same score of both doesn't
stand for the same probability. Ranges of labels with functions of their own say so too, but only a few
ranges have enough held-out documents. Here slope and shift are lines over the logarithm of the number of
training documents of a label, u: the probability is 1 / (1 + exp(-((a + b u) score + c + d u))). So four
numbers describe all labels, and are fitted to all pairs together, with Platt's smoothed targets.

P pairs of a document and a label, L labels, R ranges of frequency.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from xmcpipe.calibration.fitting import LIMIT, platt_targets
from xmcpipe.calibration.maps import Float64s, Ints, Sigmoid, places_of

STEP = 1.25  # of the ranges beyond 8 documents: u differs by less than 0.23 within one


def fine_ranges(documents_L: Ints) -> tuple[int, ...]:
    """The least numbers of training documents of narrow ranges, for `FrequencyMaps`: 1, 2, … 8, 10, 12, …

    There are at most 127 of them, for labels of up to 10^11 documents; those without labels are left out.
    """
    floors = [0.0, *range(1, 9)]
    while floors[-1] < documents_L.max(initial=0):
        floors.append(floors[-1] * STEP)
    rising = np.unique(np.ceil(floors).astype(np.int64))
    filled = rising[np.unique(np.searchsorted(rising, documents_L, side="right") - 1)]
    return (*(int(each) for each in filled[:0:-1]), 0)


def fit_by_frequency(
    scores_P: npt.NDArray[np.floating],
    hits_P: npt.NDArray[np.bool_],
    labels_P: Ints,
    documents_L: Ints,
    least: Sequence[int],
) -> tuple[Sigmoid, ...]:
    """The function of each range `least` (R, falling to 0), those with the largest likelihood of `hits_P`.

    `scores_P` are scores of the labels `labels_P`, and `documents_L` the numbers of training documents.
    Without a pair they are logistic functions. Each function rises: a slope below 1 / 50 is raised to it.
    """
    from scipy.optimize import minimize

    place_L = places_of(least, documents_L)
    log_R = _mean_logarithms(documents_L, place_L, len(least))
    if not len(scores_P):
        return (Sigmoid(),) * len(least)
    u_P = log_R[place_L[labels_P]]
    middle, spread = float(u_P.mean()), float(u_P.std()) or 1.0
    column_4P = _columns(scores_P.astype(np.float64), (u_P - middle) / spread)
    target_P = platt_targets(hits_P)

    def loss(parameters: Float64s) -> tuple[float, Float64s]:
        logit_P = parameters @ column_4P
        value = np.logaddexp(0.0, logit_P).sum() - target_P @ logit_P
        error_P = np.exp(-np.logaddexp(0.0, -logit_P)) - target_P
        return value / len(target_P), column_4P @ error_P / len(target_P)

    slope, slope_u, shift, shift_u = minimize(loss, np.array([1.0, 0, 0, 0]), jac=True, method="L-BFGS-B").x
    u_R = (log_R - middle) / spread
    slope_R = np.clip(slope + slope_u * u_R, 1 / LIMIT, LIMIT)
    return tuple(Sigmoid(float(a), float(b)) for a, b in zip(slope_R, shift + shift_u * u_R, strict=True))


def _columns(scores_P: Float64s, u_P: Float64s) -> Float64s:
    return np.stack([scores_P, scores_P * u_P, np.ones_like(u_P), u_P])


def _mean_logarithms(documents_L: Ints, place_L: npt.NDArray[np.int8], ranges: int) -> Float64s:
    """The mean logarithm of the number of documents over the labels of each range, [R]; 0 without labels."""
    log_L = np.log(np.maximum(documents_L, 1))
    count_R = np.bincount(place_L, minlength=ranges)
    found: Float64s = np.bincount(place_L, log_L, ranges) / np.maximum(count_R, 1)
    return found
