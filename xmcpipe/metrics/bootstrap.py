"""How far a figure depends on which documents happened to be in the test: the paired bootstrap.

Documents are drawn with replacement, as many as there are, and the figures computed again, `rounds` times;
the middle `level` of what comes out is the confidence interval (Efron's percentile interval). For two systems
the same draws serve both, so that what makes a document hard for both cancels in the difference. p is twice
the share of rounds on the rarer side of 0, the figure itself counted as one more round on each side, so that
few rounds can't tell of a small p. A difference is marked significant where p < 1 - level; its interval then
leaves 0 out.

Since a metric over documents is a ratio of two sums (terms.py), a round is one row of a matrix product:
how often each document was drawn, times the terms. Nothing is evaluated again.

Macro figures and coverage get no interval: a label with one test document is absent from 37% of the rounds
and its recall then 0, so that the rounds lie beside the figure and not around it.

Comparing many metrics finds some difference by chance: 1 in 20 at level 0.95.
"""

from dataclasses import dataclass

import numpy as np

from xmcpipe.errors import XmcpipeError
from xmcpipe.metrics.truth import Floats

DRAWN = 1 << 26  # documents times rounds held at a time, a byte each
MOST_ROUNDS = (
    256  # … of which one product: of a tall and slim matrix, BLAS is several times slower in small ones
)
PIECE = 1 << 14  # documents of a product
NOTHING = 1e-12  # sums of the same terms in another order differ by less


@dataclass(frozen=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """One metric of two systems: `difference` is first - second, with its interval and two-sided p."""

    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float
    level: float = 0.95

    @property
    def significant(self) -> bool:
        """Whether p < 1 - level; the interval then leaves out 0."""
        return self.p + self.level < 1


def resampled(terms_NC: Floats, rounds: int, seed: int) -> Floats:
    """Sums of the terms over `rounds` resamplings of the N documents, float64 [rounds, C].

    The draws depend on the seed, N and the round alone. Raises XmcpipeError for no rounds or no documents.
    """
    documents = len(terms_NC)
    if rounds < 1 or not documents:
        raise XmcpipeError(f"{rounds} rounds over {documents} documents were given, 1 or more were wanted")
    random = np.random.default_rng(seed)
    sums_RC = np.zeros((rounds, terms_NC.shape[1]))
    block = min(rounds, MOST_ROUNDS, max(1, DRAWN // documents))
    # how often a document is drawn fits a byte: of up to 255 documents anyway, of more with certainty enough
    drawn_RN = np.empty((block, documents), np.uint8)
    for first in range(0, rounds, block):
        count = min(block, rounds - first)
        for row in range(count):
            drawn_RN[row] = np.bincount(random.integers(0, documents, documents), minlength=documents)
        for piece in range(0, documents, PIECE):
            rows = slice(piece, piece + PIECE)
            sums_RC[first : first + count] += drawn_RN[:count, rows].astype(np.float64) @ terms_NC[rows]
    return sums_RC


def interval(values_R: Floats, level: float) -> Interval:
    """The middle `level` of the values. Raises XmcpipeError for a level that is not between 0 and 1."""
    if not 0 < level < 1:
        raise XmcpipeError(f"the level {level} was given, a share such as 0.95 was wanted")
    low, high = np.quantile(values_R, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def difference(first: float, second: float, first_R: Floats, second_R: Floats, level: float) -> Difference:
    """The difference of two figures, given both and their values in the same rounds."""
    values_R = first_R - second_R
    values_R[np.abs(values_R) < NOTHING] = 0
    within = interval(values_R, level)
    rarer = min(int((values_R <= 0).sum()), int((values_R >= 0).sum()))
    p = min(1.0, 2 * (rarer + 1) / (len(values_R) + 1))
    return Difference(first, second, first - second, within.low, within.high, p, level)
