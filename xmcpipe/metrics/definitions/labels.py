"""Macro and micro precision, recall and F1 over labels, and coverage.

A label's precision, recall and F1 come from three counts over the first k predictions of all documents,

    P_l = right_l / predicted_l,   R_l = right_l / support_l,   F1_l = 2 right_l / (predicted_l + support_l),
    0/0 = 0.

A macro figure is their mean over the labels of a scope (see ../labelwise.py), so every label counts the same.
A micro figure divides the sums of the counts over the labels of the scope. Coverage is the fraction of labels
that are right at least once.
"""

from xmcpipe.metrics.labelwise import LabelMetric

MACRO_P = LabelMetric(
    "macro_P",
    "macro precision",
    lambda counts: float((counts.right / counts.predicted).sum()) / counts.num_labels,
    group="macro",
)
MACRO_R = LabelMetric(
    "macro_R",
    "macro recall",
    lambda counts: float((counts.right / counts.support).sum()) / counts.num_labels,
    group="macro",
)
MACRO_F1 = LabelMetric(
    "macro_F1",
    "macro F1",
    lambda counts: float((2 * counts.right / (counts.predicted + counts.support)).sum()) / counts.num_labels,
    group="macro",
    summary_scopes=("all", "tested", "trained"),
)
MICRO_P = LabelMetric(
    "micro_P",
    "micro precision",
    lambda counts: counts.total_right / max(counts.total_predicted, 1),
    group="micro",
)
MICRO_R = LabelMetric(
    "micro_R",
    "micro recall",
    lambda counts: counts.total_right / max(counts.total_support, 1),
    group="micro",
)
MICRO_F1 = LabelMetric(
    "micro_F1",
    "micro F1",
    lambda counts: 2 * counts.total_right / max(counts.total_predicted + counts.total_support, 1),
    group="micro",
)
COVERAGE = LabelMetric(
    "coverage",
    "coverage",
    lambda counts: len(counts.right) / counts.num_labels,
    group="coverage",
    summary_scopes=("all",),
)
