"""How far probabilities are from what happens: the reliability diagram and the expected calibration error.

Predictions are put into bins of equal width by their probability. In a calibrated system the mean probability
of a bin is the fraction of its predictions that are right. ECE is the mean distance of the two, weighted by
the number of predictions in the bin (Naeini, Cooper and Hauskrecht 2015). With very many labels nearly all
probabilities are nearly 0, so that ECE over all of them is nearly 0 too. So it is taken over the k best
labels of each document: ECE@k (Ullah, Schultheis, Zhang and Babbar 2024, arXiv:2411.04276).

P pairs of a document and a predicted label, M bins.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Bools = npt.NDArray[np.bool_]
BINS = 15


@dataclass(frozen=True)
class Reliability:
    """For each of M bins: its number of predictions, the sum of their probabilities, and its hits, [M] each.

    Two of them can be added: the figures of several batches are those of all their predictions.
    """

    counts: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]
    hits: npt.NDArray[np.int64]

    @staticmethod
    def of(probabilities_P: Floats, hits_P: Bools) -> "Reliability":
        """From the probabilities of P predictions, and whether each of them is right."""
        bin_P = np.clip((probabilities_P * BINS).astype(np.int64), 0, BINS - 1)
        sums = np.bincount(bin_P, weights=probabilities_P, minlength=BINS)
        return Reliability(
            np.bincount(bin_P, minlength=BINS),
            sums.astype(np.float64),
            np.bincount(bin_P[hits_P], minlength=BINS),
        )

    def __add__(self, other: "Reliability") -> "Reliability":
        return Reliability(
            self.counts + other.counts, self.probabilities + other.probabilities, self.hits + other.hits
        )

    @property
    def ece(self) -> float:
        """The expected calibration error, from 0 to 1; 0 without predictions."""
        return float(np.abs(self.probabilities - self.hits).sum() / max(int(self.counts.sum()), 1))

    def table(self) -> dict[str, Any]:
        """`ece`, and of each of the `bins` with predictions: count, mean probability, fraction right."""
        bins = [
            {"count": count, "probability": probability / count, "right": hits / count}
            for count, probability, hits in zip(
                self.counts.tolist(), self.probabilities.tolist(), self.hits.tolist(), strict=True
            )
            if count
        ]
        return {"ece": self.ece, "bins": bins}


def reliability_at(probabilities_NK: Floats, hits_NK: Bools, k: int) -> Reliability:
    """That of the first k predictions of each of N documents; NaN stands for no prediction."""
    top = ~np.isnan(probabilities_NK[:, :k])
    return Reliability.of(probabilities_NK[:, :k][top], hits_NK[:, :k][top])
