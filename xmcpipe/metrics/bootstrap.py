"""How much a figure depends on which documents happened to be in the test set: the paired bootstrap.

Each round draws N of the N documents with replacement and computes the figures from them. The middle `level`
of the values of all rounds is the confidence interval (Efron's percentile interval). Two systems are compared
on the same draws, so the difficulty of a document, which both share, cancels in the difference. p is twice
the fraction of rounds on the rarer side of 0, with the figure itself counted as one more round on each side,
so that a few rounds can't produce a small p. A difference is significant if p < 1 - level; its interval then
excludes 0.

Since a metric over documents is a ratio of two sums (terms.py), a round is one row of a matrix product: how
often each document was drawn, times the terms. No prediction is evaluated again.

Macro figures and coverage have no interval: a label with one test document is absent from 37% of the rounds,
where its recall is 0, so the values of the rounds are biased and not centred on the figure.

Comparing many metrics finds some differences by chance: 1 in 20 at level 0.95.

Legend: N documents · C columns (terms) · R rounds.
"""

from dataclasses import dataclass

import numpy as np

from xmcpipe.errors import XmcpipeError
from xmcpipe.metrics.truth import Floats

DRAWN = 1 << 26  # bytes of draw counts in memory: documents x rounds, one byte each
MAX_ROUNDS = 256  # rounds of one product; with much fewer, BLAS is several times slower
BATCH = 1 << 14  # documents of one product
ROUNDING = 1e-12  # sums of the same terms in another order differ by less


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
        """Whether p < 1 - level; the interval then excludes 0."""
        return self.p + self.level < 1


def resampled(terms_NC: Floats, rounds: int, seed: int) -> Floats:
    """Sums of the terms over `rounds` resamplings of the N documents, float64 [rounds, C].

    The draws depend only on the seed, N and the round. Raises XmcpipeError for no rounds or no documents.
    """
    documents = len(terms_NC)
    if rounds < 1 or not documents:
        raise XmcpipeError(f"expected 1 or more rounds and documents, got {rounds} and {documents}")
    random = np.random.default_rng(seed)
    sums_RC = np.zeros((rounds, terms_NC.shape[1]))
    block = min(rounds, MAX_ROUNDS, max(1, DRAWN // documents))
    # A byte holds how often a document is drawn: it can't exceed 255 for up to 255 documents, and for more
    # the probability that it does is negligible.
    drawn_RN = np.empty((block, documents), np.uint8)
    for first in range(0, rounds, block):
        count = min(block, rounds - first)
        for row in range(count):
            drawn_RN[row] = np.bincount(random.integers(0, documents, documents), minlength=documents)
        for start in range(0, documents, BATCH):
            rows = slice(start, start + BATCH)
            sums_RC[first : first + count] += drawn_RN[:count, rows].astype(np.float64) @ terms_NC[rows]
    return sums_RC


def interval(values_R: Floats, level: float) -> Interval:
    """The middle `level` of the values, [R]. Raises XmcpipeError for a level that is not between 0 and 1."""
    if not 0 < level < 1:
        raise XmcpipeError(f"expected 0 < level < 1, got {level}", "for example 0.95")
    low, high = np.quantile(values_R, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def difference(first: float, second: float, first_R: Floats, second_R: Floats, level: float) -> Difference:
    """The difference of two figures, from both and their values in the same rounds, [R] each."""
    values_R = first_R - second_R
    # Without this, two equal systems would differ by rounding, and p would depend on its sign.
    values_R[np.abs(values_R) < ROUNDING] = 0
    within = interval(values_R, level)
    rarer = min(int((values_R <= 0).sum()), int((values_R >= 0).sum()))
    p = min(1.0, 2 * (rarer + 1) / (len(values_R) + 1))
    return Difference(first, second, first - second, within.low, within.high, p, level)
