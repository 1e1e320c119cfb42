"""One walk over the documents that measures any number of systems against the same truth.

The truth of a batch of documents is sorted once for all systems (a model, a second model, the popularity
baseline). A walk accumulates sums, and counts per label, but stores nothing per document. Figures are
computed from the sums at the end, so they do not depend on the batch boundaries. The bootstrap needs the
terms of every document, so it walks the truth once more.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from xmcpipe.errors import XmcpipeError
from xmcpipe.metrics import catalog
from xmcpipe.metrics.bootstrap import Difference, Interval, difference, interval, resampled
from xmcpipe.metrics.definitions.propensity_scored import BEST
from xmcpipe.metrics.frequency import Bin, Denominators, by_bins
from xmcpipe.metrics.labelwise import LabelCounts, scopes_of
from xmcpipe.metrics.propensity import LabelWeights, Training, inverse_propensity
from xmcpipe.metrics.terms import ScoredBatch, Terms
from xmcpipe.metrics.truth import Floats, Int64s, Ints, TruthBatch

ROWS = 1 << 15  # documents of a batch: about 60 MB at 36 labels per document


class Lists(Protocol):
    """Labels of N documents in CSR: `labels[indptr[n] : indptr[n + 1]]`."""

    @property
    def indptr(self) -> Int64s: ...
    @property
    def labels(self) -> Ints: ...


@dataclass
class Reference:
    """The data that systems are measured against: truth, ranks, and training labels with A and B.

    `num_labels` is L; truth and training contain no label >= L. `exclude` holds the pairs that were removed
    from the truth. The walk counts `empty`, the documents without a true label, and `repeated`, the labels
    that occurred twice in a document and were merged. Raises XmcpipeError for ranks that are not distinct and
    ascending, and for a truth without labels.
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
                f"expected distinct ascending ranks, got k = {list(self.ks)}", "for example 1, 3, 5"
            )
        if not len(self.truth.labels):
            raise XmcpipeError(
                f"none of {self.documents:,} documents has a true label",
                "check that this is the truth of the test set",
            )
        if self.training is not None:
            inverse = inverse_propensity(self.training.counts, self.training.documents, self.a, self.b)
            self.weights = LabelWeights.of(inverse)
        self.terms = Terms(self.ks, catalog.DOCUMENT_METRICS, self.weights is not None)

    @property
    def documents(self) -> int:
        """N."""
        return len(self.truth.indptr) - 1

    def batches(self) -> Iterator[tuple[slice, TruthBatch, Floats | None]]:
        """Batches of the truth: their rows, their pairs, and the weights of their best possible ranking."""
        for first in range(0, self.documents, ROWS):
            indptr = self.truth.indptr[first : first + ROWS + 1]
            batch = TruthBatch.of(indptr, self.truth.labels[indptr[0] : indptr[-1]], self.num_labels)
            best_BK = self.weights.best(batch, self.ks[-1]) if self.weights else None
            yield slice(first, first + ROWS), batch, best_BK


class Evaluation:
    """The metrics of one system.

    `figures` maps metric@k to a fraction between 0 and 1 (PSP_raw may exceed 1), as defined in `definitions`.
    `unusual` counts inputs that may change their meaning: documents_without_truth and repeated_labels_merged,
    documents_with_short_predictions (fewer than max(k)) and predictions_of_unknown_labels; with excluded
    pairs also predictions_filtered and, among the short documents, documents_short_by_filter. Raises
    XmcpipeError for rankings of another shape than [N, max(ks)].
    """

    def __init__(self, top_NK: Int64s, reference: Reference) -> None:
        if top_NK.shape != (reference.documents, reference.ks[-1]):
            raise XmcpipeError(
                f"expected rankings of shape {(reference.documents, reference.ks[-1])}, got {top_NK.shape}",
                "give the same documents in the same order",
            )
        self.reference = reference
        self._top_NK = top_NK
        self._sums_C = np.zeros(reference.terms.width)
        self._counts = LabelCounts(reference.num_labels, reference.ks)
        self.figures: dict[str, float] = {}
        self.unusual: dict[str, int] = {}

    @property
    def tested(self) -> int:
        """Labels with at least one test document."""
        return int(np.count_nonzero(self._counts.support))

    def by_frequency(self, bins: int = 3) -> list[Bin]:
        """The metrics by bins of the labels' training frequency: 3 for head, torso, tail; 10 for deciles.

        Raises XmcpipeError if there are no training labels.
        """
        training, weights, terms = self.reference.training, self.reference.weights, self.reference.terms
        if training is None or weights is None:
            raise XmcpipeError(
                "expected training labels for bins by frequency, got none",
                "pass them: frequencies are counted there",
            )
        best = terms.sums(self._sums_C, BEST)
        denominators = {
            k: Denominators(k * self.reference.documents, float(best[at]) or 1.0)
            for at, k in enumerate(self.reference.ks)
        }
        return by_bins(self._counts, training.counts, weights.inverse, denominators, bins)

    def by_label(self) -> dict[str, Ints | Floats]:
        """Counts and figures of each label, [L] each: a table with a row per label.

        `documents` (in training, only with training labels), `support` (in test), and for each k
        `predicted@k`, `precision@k`, `recall@k` and `F1@k`, of which 0/0 is 0.
        """
        training = self.reference.training
        columns: dict[str, Ints | Floats] = {} if training is None else {"documents": training.counts}
        return {**columns, **self._counts.columns()}

    def intervals(self, rounds: int = 1000, level: float = 0.95, seed: int = 0) -> dict[str, Interval]:
        """Bootstrap confidence intervals of the figures over documents (see bootstrap.py)."""
        figures = self.reference.terms.figures(resampled(self.document_terms(), rounds, seed))
        return {name: interval(values, level) for name, values in figures.items()}

    def document_terms(self) -> Floats:
        """The terms of every document, float64 [N, C]."""
        terms_NC = np.empty((self.reference.documents, self.reference.terms.width))
        for rows, batch, best_BK in self.reference.batches():
            terms_NC[rows] = self.reference.terms.of(self._scored(rows, batch, best_BK))
        return terms_NC

    def _scored(self, rows: slice, batch: TruthBatch, best_BK: Floats | None) -> ScoredBatch:
        """The predictions of a batch compared with its truth."""
        top_BK = self._top_NK[rows]
        hits_BK = batch.hits(top_BK)
        gains_BK = None
        if self.reference.weights is not None:
            gains_BK = np.zeros(top_BK.shape)
            gains_BK[hits_BK] = self.reference.weights.inverse[top_BK[hits_BK]]
        return ScoredBatch(hits_BK, top_BK >= 0, batch.sizes, gains_BK, best_BK)

    def _add(self, rows: slice, batch: TruthBatch, best_BK: Floats | None) -> None:
        scored = self._scored(rows, batch, best_BK)
        terms_BC = self.reference.terms.of(scored)
        self._sums_C += terms_BC.sum(axis=0)
        self._counts.add(self._top_NK[rows], scored.hits, batch.labels)

    def _finish(self) -> None:
        training = self.reference.training
        scopes = scopes_of(self._counts.support, None if training is None else training.counts)
        for k in self.reference.ks:
            self.figures |= self._counts.figures(k, scopes, catalog.LABEL_METRICS)
        # Last, so that it overwrites micro_*_all: only here predictions of labels not among the L count.
        over_documents = self.reference.terms.figures(self._sums_C)
        self.figures |= {name: float(value) for name, value in over_documents.items()}
        self.unusual = {
            "documents_without_truth": self.reference.empty,
            "repeated_labels_merged": self.reference.repeated + (training.repeated if training else 0),
            "documents_with_short_predictions": int((self._top_NK[:, -1] < 0).sum()),
            "predictions_of_unknown_labels": int((self._top_NK >= self.reference.num_labels).sum()),
        }


def measure(tops: Sequence[Int64s], reference: Reference) -> list[Evaluation]:
    """An Evaluation of each of `tops`: int64 [N, max(ks)], a document's labels best first, -1 for none.

    A row contains no label twice (`rank` ensures this); labels >= L are misses. Raises XmcpipeError for
    rankings of another shape.
    """
    evaluations = [Evaluation(top_NK, reference) for top_NK in tops]
    reference.empty = reference.repeated = 0
    for rows, batch, best_BK in reference.batches():
        reference.empty += int((batch.sizes == 0).sum())
        reference.repeated += batch.repeated
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
    labels, with the same pairs excluded.
    """
    reference = first.reference
    if reference is not second.reference and not _same(reference, second.reference):
        raise XmcpipeError(
            "expected two evaluations with the same truth, ranks, training labels and excluded pairs, got "
            "different ones",
            "measure both against the same data, in the same order",
        )
    both_NC = np.concatenate([first.document_terms(), second.document_terms()], axis=1)
    sums_RC = resampled(both_NC, rounds, seed)
    first_R, second_R = (reference.terms.figures(half) for half in np.hsplit(sums_RC, 2))
    return {
        name: difference(first.figures[name], second.figures[name], first_R[name], second_R[name], level)
        for name in first_R
    }


def _same(first: Reference, second: Reference) -> bool:
    """Whether figures measured against the two can be compared."""
    if first.ks != second.ks or first.num_labels != second.num_labels:
        return False
    if first.terms.weighted != second.terms.weighted:
        return False
    same = _equal(first.truth, second.truth) and _equal(first.exclude, second.exclude)
    if first.weights and second.weights:
        # Equal weights mean that the training counts, A and B are equivalent for every metric.
        same = same and np.array_equal(first.weights.inverse, second.weights.inverse)
    return same


def _equal(first: Lists | None, second: Lists | None) -> bool:
    if first is None or second is None:
        return first is second
    return np.array_equal(first.indptr, second.indptr) and np.array_equal(first.labels, second.labels)
