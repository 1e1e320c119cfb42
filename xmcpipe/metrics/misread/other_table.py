"""Tells predictions of another label table from those of a weak model, where both have a few hits.

In another table each label has another number, but a few keep theirs by chance. If these are frequent, their
hits alone are more than other documents would give. A weak model looks the same, and may know no more than a
few frequent labels. But it guesses what is frequent: the labels that it predicts often are often true.
Numbers of another table have nothing to do with frequencies.

Legend: S documents of the sample · K ranks · L true labels.
"""

import numpy as np
import numpy.typing as npt

from xmcpipe.metrics.truth import Int64s

Float64s = npt.NDArray[np.float64]
MOST_KEPT = 5  # labels that keep their number: on average one does, and more than five in 0.06% of all tables
# Of a label that may have kept its number: the hits of a weak model may be one or two a label.
FEWEST_HITS = 3
FEWEST_OTHERS = 20  # labels besides, of which the frequencies are compared
MOST_DEVIATIONS = 3.0  # of the hits of the others above those of chance
LEAST_CORRELATION = 2.0  # of the frequencies, in standard deviations


def kept_labels(own_L: Int64s, chance_L: Float64s) -> Int64s:
    """The labels that have more hits than chance, those with most of them first, at most MOST_KEPT.

    `own_L` int64 [L] counts the hits of each label, `chance_L` float64 [L] those with other documents'
    predictions.
    """
    order = np.argsort(chance_L - own_L, kind="stable")[:MOST_KEPT]
    return order[(own_L[order] >= FEWEST_HITS) & (own_L[order] > chance_L[order])]


def is_other_table(
    own_L: Int64s,
    chance_L: Float64s,
    predicted_L: Int64s,
    true_L: Int64s,
) -> bool:
    """Whether all labels but a few have hits as by chance, and frequencies that have nothing in common.

    `predicted_L` and `true_L` int64 [L] count the documents for which each label is predicted and true.
    """
    others = np.ones(len(own_L), bool)
    others[kept_labels(own_L, chance_L)] = False
    chance = float(chance_L[others].sum())
    if others.sum() < FEWEST_OTHERS or own_L[others].sum() > chance + MOST_DEVIATIONS * np.sqrt(chance + 1):
        return False
    return rank_correlation(predicted_L[others], true_L[others]) < LEAST_CORRELATION


def rank_correlation(first: Int64s, second: Int64s) -> float:
    """Spearman's correlation in its standard deviations under independence; 0 if either is constant."""
    if any(each.min() == each.max() for each in (first, second)):
        return 0.0
    from scipy.stats import rankdata  # takes long to import, and is seldom needed

    return float(np.corrcoef(rankdata(first), rankdata(second))[0, 1] * np.sqrt(len(first) - 1))
