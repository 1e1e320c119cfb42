"""Whether labels are better ordered by their score or by their probability, on held-out documents.

The probabilities are those of functions that were fitted to other documents (see `selection.tried`).

N documents, C candidate labels of each, best first by score (-1 for none).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from xmcpipe.calibration.maps import Float64s
from xmcpipe.calibration.selection import Candidates

SURE = 2.0  # standard errors: a smaller gain of precision isn't worth what rare labels lose


def orders(candidates: Candidates, probabilities_NC: Float64s, ks: Sequence[int]) -> dict[str, Any]:
    """P@k of both orders, and which one is better, in JSON types.

    score, probability  "P@k" -> precision, from 0 to 1
    gain, error         how much the mean of these P@k is higher by probability, and its standard error
    better              "probability" if gain is more than two errors, else "score"
    """
    by_score_NK = _precisions(candidates.hits, ks)
    order_NC = np.argsort(-np.nan_to_num(probabilities_NC, nan=-1.0), axis=1, kind="stable")
    by_probability_NK = _precisions(np.take_along_axis(candidates.hits, order_NC, 1), ks)
    gain_N = (by_probability_NK - by_score_NK).mean(1)
    gain, error = float(gain_N.mean()), float(gain_N.std() / np.sqrt(len(gain_N)))
    return {
        "score": _table(by_score_NK, ks),
        "probability": _table(by_probability_NK, ks),
        "gain": gain,
        "error": error,
        "better": "probability" if gain > SURE * error else "score",
    }


def _precisions(hits_NC: npt.NDArray[np.bool_], ks: Sequence[int]) -> Float64s:
    """The precision of each document at each k, [N, K]."""
    return np.stack([hits_NC[:, :k].sum(1) / k for k in ks], 1)


def _table(precision_NK: Float64s, ks: Sequence[int]) -> dict[str, float]:
    return {f"P@{k}": float(value) for k, value in zip(ks, precision_NK.mean(0), strict=True)}
