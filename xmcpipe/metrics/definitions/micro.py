"""Micro precision, recall and F1 over all labels: sums over documents divided by sums over documents.

    micro_P_all    sum found     / sum of the predictions that were made
    micro_R_all    sum found     / sum |y|
    micro_F1_all   2 sum found   / (sum predictions + sum |y|)

Unlike the figures of the same names that labels.py computes from counts per label, these also count
predictions of labels that are not among the L: they were made, and they are misses. So an evaluation reports
these three for the scope `_all`, and those of labels.py for `_tested` and `_trained`.
"""

import numpy as np

from xmcpipe.metrics.definitions.documents import FOUND
from xmcpipe.metrics.terms import DocumentMetric, Term, ratio

PREDICTED = Term("predicted", lambda batch: np.cumsum(batch.predicted, axis=1))

MICRO_P_ALL = DocumentMetric(
    "micro_P_all",
    "micro precision, all labels",
    (FOUND, PREDICTED),
    lambda sums: ratio(sums[FOUND], sums[PREDICTED]),
    in_summary=False,
    group="micro",
)
MICRO_R_ALL = DocumentMetric(
    "micro_R_all",
    "micro recall, all labels",
    (FOUND,),
    lambda sums: ratio(sums[FOUND], sums.true_labels),
    in_summary=False,
    group="micro",
)
MICRO_F1_ALL = DocumentMetric(
    "micro_F1_all",
    "micro F1, all labels",
    (FOUND, PREDICTED),
    lambda sums: ratio(2 * sums[FOUND], sums[PREDICTED] + sums.true_labels),
    group="micro",
)
