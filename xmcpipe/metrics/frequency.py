"""The metrics by the frequency of labels in training: head, torso and tail, or deciles.

Labels, sorted by descending number of training documents, are cut into bins that hold the same fraction of
all training positives: three bins are head, torso and tail, ten are deciles. Labels with the same number of
documents stay together, because only their arbitrary ids could separate them. So bins are not exactly equal,
and a bin may be empty if the labels of one frequency hold a large part of all positives. Labels that never
occur in training are in the last bin.

P@k and PSP@k of a bin are its contribution: the hits on its labels, divided by the same denominator as the
whole figure. The bins' contributions add up to the figure. Macro, micro and coverage of a bin are over its
labels that occur in the test set.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from xmcpipe.errors import XmcpipeError
from xmcpipe.metrics import catalog
from xmcpipe.metrics.labelwise import LabelCounts, ScopeCounts
from xmcpipe.metrics.truth import Floats, Int64s, Ints


@dataclass(frozen=True)
class Bin:
    """Labels of similar frequency.

    `labels` counts them, `tested` those with a test document; `least` and `most` are the smallest and largest
    number of training documents of a label; `training_positives` and `test_positives` count (document, label)
    pairs; `figures` maps metric@k to a value (see the module).
    """

    name: str
    labels: int
    tested: int
    least: int
    most: int
    training_positives: int
    test_positives: int
    figures: dict[str, float]


class Denominators(NamedTuple):
    """The denominators of P@k (for the number of hits) and of PSP@k (for the sum of their weights)."""

    precision: float
    psp: float


def bins_of_labels(counts: Int64s, bins: int) -> Int64s:
    """The bin of each label, int64 [L], 0 for the most frequent. Raises XmcpipeError without positives."""
    if bins < 1:
        raise XmcpipeError(f"expected 1 or more frequency bins, got {bins}")
    documents = np.arange(int(counts.max(initial=0)) + 1)
    positives = documents * np.bincount(counts)  # of all labels with that many documents together
    total = int(positives.sum())
    if not total:
        raise XmcpipeError("no training document has a label", "check that these are the training labels")
    before = total - np.cumsum(positives)  # positives of more frequent labels
    # A frequency goes to the bin in which the middle of its positives falls.
    middle = (before + positives / 2) / total
    bin_of_count = np.minimum((middle * bins).astype(np.int64), bins - 1)
    bin_of_count[0] = bins - 1  # labels that never occur in training
    return np.asarray(bin_of_count[counts], np.int64)


def bin_names(bins: int) -> list[str]:
    """head, torso and tail; else numbers from 1, the most frequent labels first."""
    return ["head", "torso", "tail"] if bins == 3 else [str(number + 1) for number in range(bins)]


def by_bins(
    counts: LabelCounts,
    trained: Int64s,
    weights: Floats,
    denominators: Mapping[int, Denominators],
    bins: int,
) -> list[Bin]:
    """The figures of each bin, the most frequent labels first.

    `trained` int64 [L] is the number of training documents of each label, `weights` float64 [L] is 1/p_l, and
    `denominators` maps each k to its denominators.
    """
    bin_of_label = bins_of_labels(trained, bins)
    figures = _figures(counts, weights, denominators, bin_of_label, bins)
    parts = []
    for number, name in enumerate(bin_names(bins)):
        mask = bin_of_label == number
        parts.append(_bin(name, trained[mask], counts.support[mask], figures[number]))
    return parts


def _figures(
    counts: LabelCounts,
    weights: Floats,
    denominators: Mapping[int, Denominators],
    bin_of_label: Int64s,
    bins: int,
) -> Sequence[dict[str, float]]:
    """Metric@k -> value, for each bin."""
    tested = counts.support > 0
    figures: list[dict[str, float]] = [{} for _ in range(bins)]
    for k, denominator in denominators.items():
        predicted, right = counts.at(k)
        hits = np.bincount(bin_of_label, weights=right, minlength=bins)
        gains = np.bincount(bin_of_label, weights=right * weights, minlength=bins)
        for number, of_bin in enumerate(figures):
            mask = tested & (bin_of_label == number)
            scoped = ScopeCounts.of(predicted, right, counts.support, mask)
            of_bin[f"P@{k}"] = float(hits[number] / denominator.precision)
            of_bin[f"PSP@{k}"] = float(gains[number] / denominator.psp)
            of_bin |= {f"{metric.name}@{k}": metric.figure(scoped) for metric in catalog.LABEL_METRICS}
    return figures


def _bin(name: str, trained: Int64s, support: Ints, figures: dict[str, float]) -> Bin:
    return Bin(
        name=name,
        labels=len(trained),
        tested=int(np.count_nonzero(support)),
        least=int(trained.min()) if len(trained) else 0,
        most=int(trained.max(initial=0)),
        training_positives=int(trained.sum()),
        test_positives=int(support.sum()),
        figures=figures,
    )
