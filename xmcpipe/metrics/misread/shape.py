"""Tells from counts alone that rows and columns are exchanged, or that label tables don't belong together.

If predictions and truth are both transposed, all figures can be computed and look plausible. Two facts about
true labels mostly differ between rows and columns. Documents have some labels each, of a similar number, and
a few labels have most of the documents. And many labels may be missing in a test set, but few documents have
no label. A dataset may be the other way round, so this is a warning. Training labels of another table show
themselves too: what is frequent in them is then not what is frequent in the truth.

Legend: N documents · L labels.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from xmcpipe.metrics.misread.other_table import rank_correlation
from xmcpipe.metrics.truth import Int64s

FEWEST = 20  # rows, and columns
FEWEST_PAIRS = 100
# Row sizes look like frequencies of labels if both measures of their spread are far above those of columns:
# the standard deviation in means, and the variance by mean, which is 1 by chance. In a dataset of which most
# documents have no label only the first is, in one of few documents mostly neither.
TIMES, VARIED, OVERDISPERSED = 1.5, 0.75, 1.5
FEWEST_LABELS = 30
UNEVEN, UNEVEN_TRUTH = 2.0, 1.3  # variance by mean of the frequencies: by chance it is 1
# Of the frequencies, in standard deviations, for many labels and for the fewest: those of few labels in few
# documents are less surely correlated, though the table is the same.
LEAST_CORRELATION, LEAST_OF_FEW, MORE_BY_LABEL = 3.0, 1.3, 0.02


def doubts_about_shape(truth: Any) -> Iterator[str]:
    """A sentence if a matrix of true labels looks as if its rows were the labels.

    `truth` has indptr, labels and width (None if it is no matrix).
    """
    rows, columns = len(truth.indptr) - 1, truth.width
    if columns is None or min(rows, columns) < FEWEST or len(truth.labels) < FEWEST_PAIRS:
        return
    sizes = np.diff(truth.indptr)
    counts = np.bincount(truth.labels.astype(np.int64, copy=False), minlength=columns)
    shape = (
        f"{getattr(truth, 'source', None) or truth.what} was read as {rows:,} documents x {columns:,} labels"
    )
    if rows < columns and counts.min() and not sizes.min():
        yield (
            f"{shape}: each of these labels has a document, and {int((sizes == 0).sum()):,} documents "
            "have no label. Is it transposed?"
        )
    elif _variation(sizes) > max(VARIED, TIMES * _variation(counts)) and _unevenness(sizes) > max(
        OVERDISPERSED, TIMES * _unevenness(counts)
    ):
        yield (
            f"{shape}: documents have {int(sizes.min()):,} to {int(sizes.max()):,} labels, and labels "
            f"{int(counts.min()):,} to {int(counts.max()):,} documents. Is it transposed?"
        )


def doubts_about_training(counts_L: Int64s, truth: Any, train: str = "the training labels") -> Iterator[str]:
    """A sentence if the labels that are frequent in training, int64 [L], aren't frequent in the truth.

    `truth` has labels, by number; `train` names the training labels.
    """
    labels = truth.labels[truth.labels < len(counts_L)]
    true_L = np.bincount(labels.astype(np.int64, copy=False), minlength=len(counts_L))
    # Labels without training document are left out: if many labels are rare, those that one of the two lacks
    # would look as if frequencies were opposite.
    occurring = counts_L > 0
    trained, true = counts_L[occurring], true_L[occurring]
    if len(true) < FEWEST_LABELS or true.sum() < FEWEST_PAIRS:
        return
    if _unevenness(trained) < UNEVEN or _unevenness(true) < UNEVEN_TRUTH:
        return
    least = min(LEAST_CORRELATION, LEAST_OF_FEW + MORE_BY_LABEL * (len(true) - FEWEST_LABELS))
    if rank_correlation(trained, true) < least:
        yield (
            f"the labels that are frequent in {train} are not those that are frequent in "
            f"{_name(truth)}: are the label ids of one table?"
        )


def _name(lists: Any) -> str:
    return str(getattr(lists, "source", None) or lists.what)


def _variation(sizes: Int64s) -> float:
    """The standard deviation in means."""
    return float(sizes.std() / sizes.mean()) if sizes.any() else 0.0


def _unevenness(counts: Int64s) -> float:
    """The variance by mean."""
    return float(counts.var() / counts.mean()) if counts.any() else 0.0
