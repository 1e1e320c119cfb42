"""Finds predictions and truth that are probably not what they are taken for, and says so.

A wrong file often gives figures that look like figures. Swapped files can even give a P@1 of 100%. So the
inputs are checked for marks of the common mistakes: predictions in place of the truth, ids counted from 1,
rows that don't belong together, ids of another table. What is certain is an error. What is only likely is a
warning, because a poor model or an unusual dataset can look the same. Checks of figures use a sample of the
documents.

Legend: N documents · K ranks · L labels · S documents of the sample.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from xmcpipe.errors import XmcpipeError
from xmcpipe.lookalikes.inputs import Grades
from xmcpipe.metrics.misread.order import doubts_about_order
from xmcpipe.metrics.misread.other_table import Float64s, is_other_table, kept_labels
from xmcpipe.metrics.truth import Int64s, Ints, TruthBatch

SAMPLE = 2048  # documents
FEWEST = 20  # documents: fewer show nothing
FEWEST_LABELS = 10  # true labels: fewer are hit in any reading
HITS = 10  # fewer hits of another reading are chance
MOST_UNKNOWN, MOST_UNTESTED = 0.5, 0.9  # shares of unknown labels, with and without training labels
MOST_DEVIATIONS = (
    3.5  # of the hits above the mean over all orders of the documents: 1 order in 1,000 has more
)
FEWEST_OF_TABLE = 60  # documents: what is frequent in fewer is chance
AS_WELL = 0.8  # share of the hits: fewer with the predictions of others are not "as well"


class MisreadWarning(UserWarning):
    """Inputs of `evaluate` that are probably not what they are taken for."""


def doubts_about_roles(
    predictions: Any, truth: Any, grades: Grades | None, ranked: bool = False
) -> Iterator[str]:
    """Sentences about inputs whose form is that of the other: swapped files.

    Both have indptr, labels and scores (or None), before any numbering; `grades` are the values of the truth
    that are not all 1. `ranked` says that predictions can't be a truth. Raises XmcpipeError if they are
    swapped, and for negative values of the truth.
    """
    names = f"{_name(predictions)} and {_name(truth)}"
    plain = predictions.scores is None or bool(np.all(predictions.scores == 1))
    sizes, true_sizes = np.diff(predictions.indptr), np.diff(truth.indptr)
    fixed = len(true_sizes) > 1 and true_sizes.min() == true_sizes.max() > 1
    varied = len(sizes) > 1 and int(sizes.min()) != int(sizes.max())
    if grades is not None:
        if plain and not ranked and (not grades.whole or (fixed and varied)):
            raise XmcpipeError(
                f"{names} look swapped: the truth has values from {grades}, as scores have, and the "
                "predictions have none",
                "give each in the other's place; write 1 for each label of a graded truth",
            )
        if grades.least < 0:
            raise XmcpipeError(
                f"{_name(truth)}: expected 1 for a label and 0 for none, got values from {grades}",
                "write 0, or nothing, for what is no label",
            )
        yield (
            f"{_name(truth)} has values from {grades}: each that is not 0 counts as a label. If they are "
            "scores, this is not the truth"
        )
    elif plain and not ranked and fixed and varied:
        yield (
            f"every document of {_name(truth)} has {int(true_sizes[0])} labels, and those of "
            f"{_name(predictions)} have {int(sizes.min())} to {int(sizes.max())}: are the two swapped?"
        )
    yield from doubts_about_order(predictions, ranked)


def doubts_about_labels(
    predictions: Any, truth: Any, num_labels: int, names: Any, trained: bool
) -> Iterator[str]:
    """A sentence if most predicted labels are none of the L labels of truth and training.

    Both have labels, by number; `names` has the label of each number, None if the numbers are ids. Without
    training labels, `trained` is false: a small truth then lacks many labels.
    """
    unknown = predictions.labels >= num_labels
    if len(unknown) and unknown.mean() > (MOST_UNKNOWN if trained else MOST_UNTESTED):
        yield (
            f"{int(unknown.sum()):,} of {len(unknown):,} labels of {_name(predictions)} are in neither truth "
            f"nor training, such as {examples(predictions.labels[unknown], names)}; {_name(truth)} has "
            f"{examples(truth.labels, names)}"
        )


def doubts_about_trained(counts_L: Int64s, truth: Any, names: Any, train: str, fixed: bool) -> Iterator[str]:
    """A sentence if no training label, by counts int64 [L], is a true label.

    `fixed` says that a vocabulary or a matrix gives the L labels: the test may then be one of new labels.
    Else raises XmcpipeError. `truth` and `names` are as in `doubts_about_labels`; `train` names the training
    labels.
    """
    trained = np.flatnonzero(counts_L)
    if not len(truth.labels) or np.any(counts_L[truth.labels[truth.labels < len(counts_L)]]):
        return
    what = (
        f"none of the labels of {train} is in {_name(truth)}: {train} has {examples(trained, names)}, and "
        f"{_name(truth)} has {examples(truth.labels, names)}"
    )
    if not fixed:
        raise XmcpipeError(what, "use one vocabulary for both, or omit the training labels")
    yield what


def examples(labels: Ints, names: Any) -> str:
    """Three of the labels, for a message; `names` has the label of each number, None if it is the id."""
    numbers = np.unique(labels[:SAMPLE])[:3].tolist()
    found = numbers if names is None else [names[number] for number in numbers]
    return ", ".join(repr(each.as_py() if hasattr(each, "as_py") else each) for each in map(_plain, found))


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def doubts_about_hits(
    what: str, top_NK: Int64s, indptr: Int64s, labels: Ints, ids: Ints | None, named: bool
) -> Iterator[str]:
    """Sentences about rankings that fit the truth badly, and better if they are read in another way.

    `top_NK` are labels of `what`, best first, with -1 for none; `indptr` and `labels` are the truth of the
    same documents. `ids` int64 [L] has the ids of the user for labels that were numbered, None if the numbers
    are the ids; labels that are `named` have none.
    """
    documents = len(indptr) - 1
    if not len(labels) or documents < 2:
        return
    rows_S = np.unique(np.linspace(0, documents - 1, min(documents, SAMPLE)).astype(np.int64))
    numbers = None if named else ids
    truth = _Sample(indptr, labels, rows_S, numbers)
    top_SK, above_SK, below_SK = (
        _with_ids(top_NK[rows], numbers) for rows in (rows_S, rows_S - 1, (rows_S + 1) % documents)
    )
    if truth.num_labels < FEWEST_LABELS:
        return
    if np.all(top_SK == top_SK[0]):
        return  # the same labels for every document, for example the most frequent ones
    own, chance_L = truth.hits(top_SK), truth.hits_of_others(top_SK)
    chance = float(chance_L.sum())
    readings = _readings(top_SK, above_SK, below_SK, named)
    hits, reading = max((truth.hits(other_SK), text) for text, other_SK in readings)
    if hits >= HITS and hits > 2 * own + 3 * np.sqrt(own) and hits > 2 * chance:
        yield f"{what} has {own:,} hits in {len(rows_S):,} documents, and would have {hits:,} if {reading}"
    elif documents >= FEWEST and own <= chance + MOST_DEVIATIONS * truth.deviation(top_SK):
        fit = "other documents as well as its own"
        if chance < AS_WELL * own:
            fit = "its own documents hardly better than others"
        yield (
            f"{what} fits {fit}: {own:,} hits in {len(rows_S):,} documents, and "
            f"{chance:,.0f} with the predictions of others. Are rows and labels those of the truth?"
        )
    elif documents >= FEWEST_OF_TABLE:
        yield from _doubts_about_table(what, truth, top_SK, chance_L)


def _doubts_about_table(what: str, truth: "_Sample", top_SK: Int64s, chance_L: Float64s) -> Iterator[str]:
    """A sentence if a few labels have all the hits above chance, float64 [L], and ids seem to be others."""
    own_L = truth.hits_by_label(top_SK)
    if is_other_table(own_L, chance_L, truth.predicted(top_SK), truth.counts):
        kept = len(kept_labels(own_L, chance_L))
        yield (
            f"{what} fits other documents as well as its own, except for {kept} of {truth.num_labels:,} "
            "labels, and the labels that it often has are not those that are often true. Are its label ids "
            "those of another table?"
        )


def _readings(top_SK: Int64s, above_SK: Int64s, below_SK: Int64s, named: bool) -> list[tuple[str, Int64s]]:
    """Other readings of rankings, of which the rows above and below are given: meaning and labels, [S, K]."""
    header = "is a header read as a document?"
    readings = [
        (f"each document had the predictions of the row above: {header}", above_SK),
        (f"each document had the predictions of the row below: {header}", below_SK),
    ]
    if not named:
        lower, higher = (np.where(top_SK >= 0, top_SK + step, -1) for step in (-1, 1))
        readings += [
            ("every predicted id were 1 lower: do ids of predictions begin at 1, others at 0?", lower),
            ("every predicted id were 1 higher: do ids of predictions begin at 0, others at 1?", higher),
        ]
    return readings


def _with_ids(labels: Ints, ids: Ints | None) -> Int64s:
    """The ids of numbered labels; -1 stays."""
    return labels.astype(np.int64) if ids is None else np.where(labels >= 0, ids[labels], -1)


class _Sample:
    """The true labels of the documents `rows_S`, as ids."""

    def __init__(self, indptr: Int64s, labels: Ints, rows_S: Int64s, ids: Ints | None) -> None:
        sizes = np.diff(indptr)[rows_S]
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        chosen = _with_ids(labels[np.repeat(indptr[rows_S], sizes) + within], ids)
        # Ids of any size: they are numbered, so that the keys of the sample fit in 64 bits.
        self._known, numbers = np.unique(chosen, return_inverse=True)
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        self._truth = TruthBatch.of(offsets, numbers.astype(np.int64), max(len(self._known), 1))

    @property
    def num_labels(self) -> int:
        """The number of labels that occur."""
        return len(self._known)

    @property
    def counts(self) -> Int64s:
        """The number of documents that have each label, int64 [L]."""
        return np.bincount(self._truth.labels, minlength=self.num_labels)

    def hits(self, top_SK: Int64s) -> int:
        """The number of pairs that are true."""
        return int(self._truth.hits(self._numbered(top_SK)).sum())

    def hits_by_label(self, top_SK: Int64s) -> Int64s:
        """The number of true pairs of each label, int64 [L]."""
        numbers_SK = self._numbered(top_SK)
        return np.bincount(numbers_SK[self._truth.hits(numbers_SK)], minlength=self.num_labels)

    def hits_of_others(self, top_SK: Int64s) -> Float64s:
        """The hits of each label with the predictions of another document, the mean over all, float64 [L]."""
        others = self.counts * self.predicted(top_SK) - self.hits_by_label(top_SK)
        return others / max(len(top_SK) - 1, 1)

    def deviation(self, top_SK: Int64s) -> float:
        """The standard deviation of the number of hits over all orders of the documents.

        Of the hits [S, S] of each document with the predictions of each, the mean of row and column is taken
        off; the variance is the sum of the squares by S - 1 (Hoeffding 1951, A combinatorial central limit
        theorem). One row at a time is in memory. A Poisson deviation would be too large for labels that most
        documents have, and too small for labels that come together.
        """
        size = len(top_SK)
        by_label = np.argsort(self._truth.labels, kind="stable")
        documents = np.repeat(np.arange(size), self._truth.sizes)[by_label]
        of_label = np.split(documents, np.cumsum(self.counts)[:-1])
        squares, of_row, of_column = 0, np.zeros(size), np.zeros(size)
        for row, labels in enumerate(self._numbered(top_SK)):
            found = [of_label[label] for label in labels.tolist() if label >= 0]
            hits = np.bincount(np.concatenate(found), minlength=size) if found else np.zeros(size, np.int64)
            squares += int(hits @ hits)
            of_row[row] = hits.sum()
            of_column += hits
        centred = squares - (of_row @ of_row + of_column @ of_column) / size + (of_row.sum() / size) ** 2
        return float(np.sqrt(max(centred, 0.0) / max(size - 1, 1)))

    def predicted(self, top_SK: Int64s) -> Int64s:
        """The number of documents for which each label is predicted, int64 [L]."""
        numbers_SK = self._numbered(top_SK)
        return np.bincount(numbers_SK[numbers_SK >= 0], minlength=self.num_labels)

    def _numbered(self, top_SK: Int64s) -> Int64s:
        """The place of each label among those that occur, -1 for any other."""
        at = np.minimum(np.searchsorted(self._known, top_SK), len(self._known) - 1)
        return np.where(self._known[at] == top_SK, at, -1)


def _name(lists: Any) -> str:
    return str(getattr(lists, "source", None) or lists.what)
