"""One walk over the documents that measures any number of systems against the same truth.

The truth of a piece of documents is sorted once for all systems (a model, a second model, the popularity
baseline). What a walk keeps are sums and per-label counts, never documents; the figures are divided out at
the end, so they do not depend on where the pieces were cut. For the bootstrap, which needs every document's
terms, the truth is walked once more.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from xmcpipe.errors import XmcpipeError
from xmcpipe.metrics.bootstrap import Difference, Interval, difference, interval, resampled
from xmcpipe.metrics.frequency import Bin, by_bins
from xmcpipe.metrics.labelwise import LabelCounts, scopes_of
from xmcpipe.metrics.propensity import LabelWeights, Training, inverse_propensity
from xmcpipe.metrics.terms import Terms
from xmcpipe.metrics.truth import Bools, Floats, Int64s, Ints, TruthBatch

ROWS = 1 << 15  # documents of a piece: some 60 MB at 36 labels a document


class Lists(Protocol):
    """Labels of N documents in CSR: `labels[indptr[n] : indptr[n + 1]]`."""

    @property
    def indptr(self) -> Int64s: ...
    @property
    def labels(self) -> Ints: ...


@dataclass
class Against:
    """What systems are measured against: the truth, the ranks, and the training labels with A and B.

    `num_labels` is L; truth and training have no label from L on. `exclude` are the pairs that were left out
    of the truth. `empty` documents have no true label,
    `repeated` labels stood twice in one and were merged: both are counted by the walk.
    """

    truth: Lists
    num_labels: int
    ks: tuple[int, ...]
    training: Training | None = None
    a: float = 0.55
    b: float = 1.5
    exclude: Lists | None = None
    empty: int = 0
    repeated: int = 0
    weights: LabelWeights | None = field(init=False, default=None)
    terms: Terms = field(init=False)

    def __post_init__(self) -> None:
        if not self.ks or self.ks[0] < 1 or list(self.ks) != sorted(set(self.ks)):
            raise XmcpipeError(
                f"k = {list(self.ks)} was given, distinct rising ranks were wanted", "as in 1, 3, 5"
            )
        if not len(self.truth.labels):
            raise XmcpipeError(
                f"none of {self.documents:,} documents has a true label",
                "check that it is the test's truth",
            )
        if self.training is not None:
            inverse = inverse_propensity(self.training.counts, self.training.documents, self.a, self.b)
            self.weights = LabelWeights.of(inverse)
        self.terms = Terms(self.ks, self.weights is not None)

    @property
    def documents(self) -> int:
        """N."""
        return len(self.truth.indptr) - 1

    def batches(self) -> Iterator[tuple[slice, TruthBatch, Floats | None]]:
        """Pieces of the truth: their rows, their pairs, and the weights of their best ranking."""
        for first in range(0, self.documents, ROWS):
            indptr = self.truth.indptr[first : first + ROWS + 1]
            batch = TruthBatch.of(indptr, self.truth.labels[indptr[0] : indptr[-1]], self.num_labels)
            best_BK = self.weights.best(batch, self.ks[-1]) if self.weights else None
            yield slice(first, first + ROWS), batch, best_BK


class Evaluation:
    """The metrics of one system.

    `figures` maps metric@k to a share of 1 (but PSP_raw, which may exceed it); see terms.py and labelwise.py
    for their definitions. `unusual` counts what may make them mean something else than one thinks:
    documents_without_truth and repeated_labels_merged, documents_with_short_predictions (under max(k)) and
    predictions_of_unknown_labels; with pairs left out also predictions_filtered and, of the short documents,
    documents_short_by_filter.
    """

    def __init__(self, top_NK: Int64s, against: Against) -> None:
        if top_NK.shape != (against.documents, against.ks[-1]):
            raise XmcpipeError(
                f"rankings of shape {top_NK.shape} were given, {(against.documents, against.ks[-1])} wanted",
                "give the same documents in the same order",
            )
        self.against = against
        self._top_NK = top_NK
        self._sums_C = np.zeros(against.terms.width)
        self._counts = LabelCounts(against.num_labels, against.ks)
        self.figures: dict[str, float] = {}
        self.unusual: dict[str, int] = {}

    @property
    def tested(self) -> int:
        """Labels with at least one test document."""
        return int(np.count_nonzero(self._counts.support))

    def by_frequency(self, bins: int = 3) -> list[Bin]:
        """The metrics by bins of the labels' training frequency: 3 for head, torso, tail; 10 for deciles.

        Raises XmcpipeError where no training labels were given.
        """
        training, weights, terms = self.against.training, self.against.weights, self.against.terms
        if training is None or weights is None:
            raise XmcpipeError("no training labels were given", "frequency is that of the training labels")
        best = terms.sums(self._sums_C, "best")
        below = {
            k: (k * self.against.documents, float(best[at]) or 1.0) for at, k in enumerate(self.against.ks)
        }
        return by_bins(self._counts, training.counts, weights.inverse, below, bins)

    def intervals(self, rounds: int = 1000, level: float = 0.95, seed: int = 0) -> dict[str, Interval]:
        """Bootstrap confidence intervals of the figures over documents (see bootstrap.py)."""
        figures = self.against.terms.figures(resampled(self.document_terms(), rounds, seed))
        return {name: interval(values, level) for name, values in figures.items()}

    def document_terms(self) -> Floats:
        """The terms of every document, float64 [N, C]."""
        terms_NC = np.empty((self.against.documents, self.against.terms.width))
        for rows, batch, best_BK in self.against.batches():
            terms_NC[rows] = self._terms(rows, batch, best_BK)[0]
        return terms_NC

    def _terms(self, rows: slice, batch: TruthBatch, best_BK: Floats | None) -> tuple[Floats, Int64s, Bools]:
        """The terms of a piece, with its predictions and hits."""
        top_BK = self._top_NK[rows]
        hits_BK = batch.hits(top_BK)
        gains_BK = None
        if self.against.weights is not None:
            gains_BK = np.zeros(top_BK.shape)
            gains_BK[hits_BK] = self.against.weights.inverse[top_BK[hits_BK]]
        terms_BC = self.against.terms.of(hits_BK, top_BK >= 0, batch.sizes, gains_BK, best_BK)
        return terms_BC, top_BK, hits_BK

    def _add(self, rows: slice, batch: TruthBatch, best_BK: Floats | None) -> None:
        terms_BC, top_BK, hits_BK = self._terms(rows, batch, best_BK)
        self._sums_C += terms_BC.sum(axis=0)
        self._counts.add(top_BK, hits_BK, batch.labels)

    def _finish(self) -> None:
        training = self.against.training
        scopes = scopes_of(self._counts.support, None if training is None else training.counts)
        for k in self.against.ks:
            self.figures |= self._counts.figures(k, scopes)
        # last: this micro_P_all also counts predictions of labels that are not among the L
        over_documents = self.against.terms.figures(self._sums_C)
        self.figures |= {name: float(value) for name, value in over_documents.items()}
        self.unusual = {
            "documents_without_truth": self.against.empty,
            "repeated_labels_merged": self.against.repeated + (training.repeated if training else 0),
            "documents_with_short_predictions": int((self._top_NK[:, -1] < 0).sum()),
            "predictions_of_unknown_labels": int((self._top_NK >= self.against.num_labels).sum()),
        }


def measure(tops: Sequence[Int64s], against: Against) -> list[Evaluation]:
    """An Evaluation of each of `tops`: int64 [N, max(ks)], a document's labels best first, -1 for none.

    No label stands twice in a row (`rank` makes them so); labels from L on are misses. Raises XmcpipeError
    for rankings of another shape.
    """
    evaluations = [Evaluation(top_NK, against) for top_NK in tops]
    against.empty = against.repeated = 0
    for rows, batch, best_BK in against.batches():
        against.empty += int((batch.sizes == 0).sum())
        against.repeated += batch.repeated
        for evaluation in evaluations:
            evaluation._add(rows, batch, best_BK)
    for evaluation in evaluations:
        evaluation._finish()
    return evaluations


def compare(
    first: Evaluation, second: Evaluation, rounds: int = 1000, level: float = 0.95, seed: int = 0
) -> dict[str, Difference]:
    """Metric@k -> first - second with its paired bootstrap interval, for metrics over documents.

    Raises XmcpipeError unless both were measured at the same ranks against the same truth and training
    labels, with the same pairs left out.
    """
    mine, other = first.against, second.against
    if mine is not other and not _same(mine, other):
        raise XmcpipeError(
            "two evaluations against different truths, ranks, training labels or excluded pairs were given",
            "measure both against the same, in the same order",
        )
    both_NC = np.concatenate([first.document_terms(), second.document_terms()], axis=1)
    sums_RC = resampled(both_NC, rounds, seed)
    first_R, second_R = (mine.terms.figures(half) for half in np.hsplit(sums_RC, 2))
    return {
        name: difference(first.figures[name], second.figures[name], first_R[name], second_R[name], level)
        for name in first_R
    }


def _same(mine: Against, other: Against) -> bool:
    if (mine.ks, mine.num_labels, mine.terms.weighted) != (other.ks, other.num_labels, other.terms.weighted):
        return False
    same = _equal(mine.truth, other.truth) and _equal(mine.exclude, other.exclude)
    if mine.weights and other.weights:
        same = same and np.array_equal(mine.weights.inverse, other.weights.inverse)
    return same


def _equal(mine: Lists | None, other: Lists | None) -> bool:
    if mine is None or other is None:
        return mine is other
    return np.array_equal(mine.indptr, other.indptr) and np.array_equal(mine.labels, other.labels)
