"""Fits functions from scores to probabilities on documents that the model was not trained on.

temperature  1 / (1 + exp(-score / T)): one number (Guo, Pleiss, Sun and Weinberger 2017)
platt        1 / (1 + exp(-(a * score + b))): two numbers, with Platt's smoothed targets (Platt 1999)
isotonic     the steps that rise and fit best, connected by lines (Zadrozny and Elkan 2002)

Each can be fitted to all labels together, or apart to labels of similar frequency. P pairs of a document and
a label.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from xmcpipe.calibration.maps import Curve, Float64s, Ints, Map, Sigmoid
from xmcpipe.metrics.frequency import bins_of_labels

Bools = npt.NDArray[np.bool_]
Method = Literal["temperature", "platt", "isotonic"]
LIMIT = 50.0  # of the slope and of 1 / slope: there is no best one for labels that scores separate perfectly


def fit(method: Method, scores_P: npt.NDArray[Any], hits_P: Bools) -> Map:
    """The function of this kind with the smallest negative log-likelihood of `hits_P` given `scores_P`.

    Without a pair it is the logistic function.
    """
    return FITS[method](scores_P.astype(np.float64), hits_P) if len(scores_P) else Sigmoid()


def negative_log_likelihood(probabilities_P: Float64s, hits_P: Bools) -> float:
    """The sum over all pairs, in nats."""
    given = np.where(hits_P, probabilities_P, 1 - probabilities_P)
    return float(-np.log(np.maximum(given, 1e-12)).sum())


def ranges(documents_L: Ints, bins: int) -> tuple[int, ...]:
    """The least number of training documents of the labels in each bin, for `FrequencyMaps`.

    The bins hold equal parts of all training pairs, as those of `eval`; those without labels are left out.
    """
    bin_L = bins_of_labels(documents_L.astype(np.int64), bins)
    filled = np.unique(bin_L)
    return (*(int(documents_L[bin_L == each].min()) for each in filled[:-1]), 0)


def _temperature(scores_P: Float64s, hits_P: Bools) -> Map:
    return _sigmoid(scores_P, hits_P.astype(np.float64), with_intercept=False)


def platt_targets(hits_P: Bools) -> Float64s:
    """Targets within 0 and 1, float64 [P], as if one more pair of each kind had been seen (Platt 1999)."""
    right = int(hits_P.sum())
    wrong = len(hits_P) - right
    return np.where(hits_P, (right + 1) / (right + 2), 1 / (wrong + 2))


def _platt(scores_P: Float64s, hits_P: Bools) -> Map:
    return _sigmoid(scores_P, platt_targets(hits_P), True)


def _sigmoid(scores_P: Float64s, target_P: Float64s, with_intercept: bool) -> Sigmoid:
    from scipy.optimize import minimize

    def loss(parameters: Float64s) -> tuple[float, Float64s]:
        slope = np.exp(parameters[0])
        intercept = parameters[1] if with_intercept else 0.0
        logit_P = slope * scores_P + intercept
        value = np.logaddexp(0.0, logit_P).sum() - target_P @ logit_P
        error_P = np.exp(-np.logaddexp(0.0, -logit_P)) - target_P
        gradient = np.array([slope * (error_P @ scores_P), error_P.sum()])
        return value / len(scores_P), gradient[: len(parameters)] / len(scores_P)

    bound = float(np.log(LIMIT))
    start, bounds = [0.0], [(-bound, bound)]
    if with_intercept:
        start, bounds = [*start, 0.0], [*bounds, (-1e4, 1e4)]
    found = minimize(loss, np.array(start), jac=True, method="L-BFGS-B", bounds=bounds).x
    return Sigmoid(float(np.exp(found[0])), float(found[1]) if with_intercept else 0.0)


def _isotonic(scores_P: Float64s, hits_P: Bools) -> Map:
    from sklearn.isotonic import IsotonicRegression

    # Not 0 and 1: the next document may be the first that is different.
    end = 1 / (len(scores_P) + 2)
    model = IsotonicRegression(y_min=end, y_max=1 - end, out_of_bounds="clip").fit(scores_P, hits_P)
    return Curve(model.X_thresholds_.astype(np.float64), model.y_thresholds_.astype(np.float64))


FITS: dict[Method, Callable[[Float64s, Bools], Map]] = {
    "temperature": _temperature,
    "platt": _platt,
    "isotonic": _isotonic,
}
