"""Metrics over documents: the class of such a metric, and the sums from which all are computed.

A metric over documents is one sum over documents divided by another:

    P@k = (sum of hits among the first k) / (k * number of documents)

A `Term` defines the summand: one number per document and rank. `Terms` evaluates the terms of all metrics
once per document, at the ranks k; a `DocumentMetric` divides their sums. Because a figure is a ratio of sums,
no mean of batch means is ever taken, and a bootstrap round only has to sum the same terms over the documents
that it drew. The metrics themselves are in `definitions`, and `catalog.py` lists them.

Legend: B documents of a batch · K ranks, K = max(ks) · C columns (a column per term and k).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xmcpipe.metrics.truth import Bools, Floats, Int64s


@dataclass(frozen=True)
class ScoredBatch:
    """B documents whose first K predictions were compared with the truth.

    `hits` bool [B, K]: whether the prediction of each rank is a true label. `predicted` bool [B, K]: whether
    there is a prediction of that rank. `sizes` int64 [B]: the number of true labels |y|. With training labels
    also `gains` float64 [B, K], the weight w = 1/p of the label where it is a hit (else 0), and `best`
    float64 [B, K], the K largest weights among the true labels, descending, then 0.
    """

    hits: Bools
    predicted: Bools
    sizes: Int64s
    gains: Floats | None = None
    best: Floats | None = None

    @cached_property
    def found(self) -> Int64s:
        """The hits up to each rank, int64 [B, K]."""
        return np.cumsum(self.hits, axis=1)

    @cached_property
    def at_least_one(self) -> Int64s:
        """|y| as a divisor, int64 [B, 1]; 1 for a document without true labels, whose hits are 0 anyway."""
        return np.maximum(self.sizes, 1)[:, None]

    @cached_property
    def discounts(self) -> Floats:
        """The weight of each rank in DCG, float64 [K]."""
        return rank_discounts(self.hits.shape[1])

    @cached_property
    def ideal(self) -> Floats:
        """The largest DCG that |y| true labels allow up to each rank, float64 [B, K]."""
        return _ideal_gains(self.sizes, self.discounts)


@dataclass(frozen=True)
class Term:
    """One number per document and rank, which a metric sums over documents.

    `at_ranks` maps a batch to [B, K]; column j - 1 is for the ranks up to j. A term with `needs_training`
    reads `gains` or `best`, which exist only with training labels. Terms of the same `name` are the same
    term, and all metrics that use it share its column.
    """

    name: str
    at_ranks: Callable[[ScoredBatch], Floats | Int64s | Bools]
    needs_training: bool = False


@dataclass(frozen=True)
class Sums:
    """Sums over documents for one k: a number each, or an array with one value per bootstrap round."""

    k: int
    documents: Floats
    true_labels: Floats
    by_name: Mapping[str, Floats]

    def __getitem__(self, term: Term) -> Floats:
        return self.by_name[term.name]


@dataclass(frozen=True)
class DocumentMetric:
    """A metric over documents.

    `name` is its key ("P" for P@1, P@3, ...), `title` its row in printed tables. `figure` computes it from
    the sums of its `terms`. With `in_summary` it is printed by default, among the rows of its `group` (see
    `catalog.GROUPS`).
    """

    name: str
    title: str
    terms: tuple[Term, ...]
    figure: Callable[[Sums], Floats]
    in_summary: bool = True
    group: str = "documents"

    @property
    def needs_training(self) -> bool:
        """Whether it needs the training labels, for propensities."""
        return any(term.needs_training for term in self.terms)


class Terms:
    """The columns of a walk over documents: every term of these metrics at every k.

    Without propensities (`weighted` is false), metrics that need the training labels are skipped.
    """

    def __init__(self, ks: Sequence[int], metrics: Sequence[DocumentMetric], weighted: bool) -> None:
        self.ks = tuple(ks)
        self.weighted = weighted
        self.metrics = [metric for metric in metrics if weighted or not metric.needs_training]
        self._terms = {term.name: term for metric in self.metrics for term in metric.terms}
        # Column 0 counts the documents, column 1 their true labels; the terms follow, len(ks) columns each.
        self._columns = {
            name: slice(2 + n * len(ks), 2 + (n + 1) * len(ks)) for n, name in enumerate(self._terms)
        }
        self.width = 2 + len(self._terms) * len(ks)

    def of(self, batch: ScoredBatch) -> Floats:
        """The terms of B documents, float64 [B, C]."""
        terms_BC = np.empty((len(batch.sizes), self.width))
        terms_BC[:, 0], terms_BC[:, 1] = 1, batch.sizes
        at_ks = np.array(self.ks) - 1
        for name, term in self._terms.items():
            terms_BC[:, self._columns[name]] = term.at_ranks(batch)[:, at_ks]
        return terms_BC

    def sums(self, sums_C: Floats, term: Term) -> Floats:
        """The sums of one term, [..., len(ks)], out of all sums [..., C]."""
        return np.asarray(sums_C[..., self._columns[term.name]])

    def figures(self, sums_C: Floats) -> dict[str, Floats]:
        """Metric@k -> value [...], from sums [..., C]: over all documents, or one bootstrap round per row."""
        figures: dict[str, Floats] = {}
        for at, k in enumerate(self.ks):
            by_name = {name: self.sums(sums_C, term)[..., at] for name, term in self._terms.items()}
            sums = Sums(k, sums_C[..., 0], sums_C[..., 1], by_name)
            figures |= {f"{metric.name}@{k}": metric.figure(sums) for metric in self.metrics}
        return figures


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """numerator / denominator, and 0 where the denominator is 0."""
    return np.asarray(numerator / np.where(denominator == 0, 1, denominator))


def rank_discounts(k: int) -> Floats:
    """1 / log2(j + 1) for the ranks j = 1 … k, float64 [k]."""
    return np.asarray(1 / np.log2(np.arange(2, k + 2)))


def _ideal_gains(sizes_B: Int64s, discounts_K: Floats) -> Floats:
    """The largest DCG@j of a document with that many true labels, float64 [B, K] for j = 1 … K.

    1 (and not 0) for a document without true labels: its DCG is 0, so its quotient is 0.
    """
    reachable = np.concatenate([[1.0], np.cumsum(discounts_K)])
    gains: Floats = reachable[np.minimum(np.arange(1, len(discounts_K) + 1), sizes_B[:, None])]
    return gains
