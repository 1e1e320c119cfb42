"""The list of all metrics, one line each. Figures, JSON and printed tables are made from it.

To add a metric, write its object in a file of `definitions`, and add it to one of the two tuples below.
`evaluate()`, `xmcpipe eval`, its JSON, the bootstrap (for metrics over documents), the bins by label
frequency (for metrics over labels) and the printed tables read these tuples.

The order is that of the keys in JSON.
"""

from xmcpipe.metrics.definitions import documents, labels, micro, propensity_scored
from xmcpipe.metrics.labelwise import SCOPES, LabelMetric
from xmcpipe.metrics.terms import DocumentMetric

DOCUMENT_METRICS: tuple[DocumentMetric, ...] = (
    documents.P,
    documents.NDCG,
    documents.R,
    documents.F1,
    documents.HITS,
    documents.MRR,
    micro.MICRO_P_ALL,
    micro.MICRO_R_ALL,
    micro.MICRO_F1_ALL,
    propensity_scored.PSP,
    propensity_scored.PSP_RAW,
    propensity_scored.PSR,
    propensity_scored.PSNDCG,
)

LABEL_METRICS: tuple[LabelMetric, ...] = (
    labels.MACRO_P,
    labels.MACRO_R,
    labels.MACRO_F1,
    labels.MICRO_P,
    labels.MICRO_R,
    labels.MICRO_F1,
    labels.COVERAGE,
)

GROUPS = ("documents", "micro", "macro", "coverage")
"""The groups of rows in printed tables, in order."""


def titles() -> dict[str, str]:
    """Name of each figure (P, macro_F1_tested, ...) -> its title in printed tables, in the tables' order."""
    return {name: title for name, title, _ in _rows()}


def summary() -> list[str]:
    """The names of the figures that are printed by default, in the tables' order."""
    return [name for name, _, in_summary in _rows() if in_summary]


def _rows() -> list[tuple[str, str, bool]]:
    """Name, title and whether it is in the summary, of each figure."""
    rows = {each.name: (each.group, each.title, each.in_summary) for each in DOCUMENT_METRICS}
    for each in LABEL_METRICS:
        for scope, labels_of_scope in SCOPES.items():
            name = f"{each.name}_{scope}"
            # `setdefault`, because micro figures over all labels are metrics over documents (see micro.py),
            # and their rows exist already.
            rows.setdefault(
                name, (each.group, f"{each.title}, {labels_of_scope}", scope in each.summary_scopes)
            )
    ordered = sorted(rows.items(), key=lambda row: GROUPS.index(row[1][0]))
    return [(name, title, in_summary) for name, (_, title, in_summary) in ordered]
